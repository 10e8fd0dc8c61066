"""Makes runs directly, again and again; prints what grew: KiB, descriptors, threads, children."""

import os
import sys
import threading
from pathlib import Path

from sched_runner.output.outputs import Outputs
from sched_runner.output.terminal import Terminal
from sched_runner.record.lock import LockFile
from sched_runner.record.store import Store
from sched_runner.run.runs import Runs
from sched_runner.run.sweeper import become_subreaper
from sched_runner.settings import places, table
from sched_runner.tell.monitoring import Monitoring


def census() -> list[int]:
    rss = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(rss.split()[1]), len(os.listdir("/proc/self/fd")), threading.active_count(), len(children)]


settings, _ = table.load(os.environ, places.here(Path.cwd()))
settings.state_dir.mkdir()
outputs = Outputs(settings.log_dir, Terminal(os.open(os.devnull, os.O_WRONLY), coloured=False))
outputs.attach()
become_subreaper()
store = Store(settings.state_dir, LockFile(settings.state_dir))
runs = Runs(store, outputs, Monitoring("main-scheduler"), os.eventfd(0))
for _ in range(20):
    runs.make_run(settings, os.environ)
before = census()
for _ in range(int(sys.argv[1])):
    runs.make_run(settings, os.environ)
print(*(after - earlier for after, earlier in zip(census(), before, strict=True)))
