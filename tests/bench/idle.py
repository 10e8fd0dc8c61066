"""What a tool costs while it waits for the next due time, four hours away."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from measure import LeftOutError, Sample, table
from sandbox import CACHE, PROGRAMS, memory_mib, sandbox
from schedulers import SCHEDULERS, Job, Process

WATCHDOG = "main-scheduler, watchdog 60 s"
SETTLE = 10.0
RATIOS = {"RSS MiB": ("obvious", "obvious (PyPI)")}


def idle(tools: Sequence[str], repeat: int, scale: float) -> str:
    """Question d: all tools at the same time; they are idle."""
    seconds = max(10.0, 60 * scale)
    samples: dict[str, list[Sample] | LeftOutError] = {}
    for _ in range(repeat):
        with contextlib.ExitStack() as stack:
            running = _start_all(tools, stack, samples)
            time.sleep(SETTLE)
            for tool in [tool for tool, process in running.items() if process.poll() is not None]:
                samples[tool] = LeftOutError(f"ended with status {running.pop(tool).returncode}")
            before = {tool: _spent(process) for tool, process in running.items()}
            time.sleep(seconds)
            for tool, process in running.items():
                found = samples.setdefault(tool, [])
                assert isinstance(found, list)
                found.append(_sample(process, before[tool], 60 / seconds))
    return table("d. Idle, per minute", samples, RATIOS)


def _start_all(
    tools: Sequence[str], stack: contextlib.ExitStack, samples: dict[str, list[Sample] | LeftOutError]
) -> dict[str, Process]:
    running: dict[str, Process] = {}
    for tool in tools:
        for name in (tool, WATCHDOG) if tool == "main-scheduler" else (tool,):
            if tool not in SCHEDULERS or tool == "no tool":
                continue
            directory = stack.enter_context(sandbox())
            environ = _listen(directory) if name == WATCHDOG else {}
            try:
                job = Job(directory, [CACHE / "stamp", PROGRAMS / "stamp.c", directory], environ=environ)
                running[name] = SCHEDULERS[tool].start(job)
            except LeftOutError as reason:
                samples[name] = reason
    return running


def _listen(directory: Path) -> dict[str, str]:
    """A socket as systemd's, which is read until the end."""
    path = str(directory / "notify")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(path)

    def read() -> None:
        while listener.recv(4096):
            pass

    threading.Thread(target=read, daemon=True).start()
    return {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "60000000"}


def _spent(process: Process) -> tuple[int, float]:
    """Wake-ups (a thread that gives up the CPU was woken before) and CPU milliseconds, over all threads."""
    wakeups, nanoseconds = 0, 0
    for thread in Path(f"/proc/{process.pid}/task").iterdir():
        fields = dict(line.split(":", 1) for line in (thread / "status").read_text().splitlines())
        wakeups += int(fields["voluntary_ctxt_switches"])
        nanoseconds += int((thread / "schedstat").read_text().split()[0])
    return wakeups, nanoseconds / 1e6


def _sample(process: Process, before: tuple[int, float], per_minute: float) -> Sample:
    after = _spent(process)
    return {
        "wake-ups": (after[0] - before[0]) * per_minute,
        "CPU ms": (after[1] - before[1]) * per_minute,
        "RSS MiB": memory_mib(process.pid, "VmRSS"),
        "PSS MiB": memory_mib(process.pid, "Pss"),
        "threads": str(len(os.listdir(f"/proc/{process.pid}/task"))),
    }
