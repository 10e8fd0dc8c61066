"""Calls Job directly, again and again; prints what grew: KiB, descriptors, threads, children."""

import os
import sys
import threading
from collections import deque
from pathlib import Path

from sched_runner import config
from sched_runner.job import Job
from sched_runner.monitoring import Monitoring
from sched_runner.outputs import Outputs
from sched_runner.processes import become_subreaper
from sched_runner.state import LockFile, StateFile
from sched_runner.terminal import Terminal


def census() -> list[int]:
    rss = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(rss.split()[1]), len(os.listdir("/proc/self/fd")), threading.active_count(), len(children)]


def make_live(notices: deque[str]) -> Terminal:
    return Terminal(os.open(os.devnull, os.O_WRONLY), notices, coloured=False)


settings = config.load(os.environ, config.here(Path.cwd()), sys.executable)
settings.state_dir.mkdir()
outputs = Outputs(settings.log_dir, make_live)
outputs.attach()
become_subreaper()
job = Job(
    StateFile(settings.state_dir), LockFile(settings.state_dir), outputs, Monitoring("main-scheduler"), os.eventfd(0)
)
for _ in range(20):
    job.perform(settings, os.environ)
before = census()
for _ in range(int(sys.argv[1])):
    job.perform(settings, os.environ)
print(*(after - earlier for after, earlier in zip(census(), before, strict=True)))
