"""A tree: a child, a grandchild, a daemon forked twice in a session of its own, one that ignores TERM, a stopped one.

Their pids are in the file ``tree``, one a line; then it prints ready, and waits for an hour, or ends with "leave".
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SLEEP = "import time; time.sleep(3600)"


def pid_of_daemon() -> int:
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        pid = os.fork()
        if pid == 0:
            time.sleep(3600)
        os.write(writer, str(pid).encode())
        os._exit(0)
    pid = int(os.read(reader, 32))
    os.wait()
    return pid


child = subprocess.Popen(["sleep", "3600"])
parent = subprocess.Popen(["sh", "-c", "sleep 3600 & echo $!; wait"], stdout=subprocess.PIPE)
grandchild = int(parent.stdout.readline())  # type: ignore[union-attr]
script = "trap '' TERM HUP; echo ready; while :; do sleep 3600; done"
deaf = subprocess.Popen(["setsid", "sh", "-c", script], stdout=subprocess.PIPE)
deaf.stdout.readline()  # type: ignore[union-attr]
stopped = subprocess.Popen(["sleep", "3600"])
os.kill(stopped.pid, signal.SIGSTOP)
pids = [child.pid, parent.pid, grandchild, pid_of_daemon(), deaf.pid, stopped.pid]
Path("tree").write_text("".join(f"{pid}\n" for pid in pids))
print("ready")
if "leave" not in sys.argv:
    time.sleep(3600)
