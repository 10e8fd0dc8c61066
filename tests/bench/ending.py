"""How a run ends that takes too long, and one that is stopped."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from measure import Sample, interleaved, table
from sandbox import PROGRAMS, PYTHON, Ends, sandbox, wait_until
from schedulers import SCHEDULERS, Job

LIMIT, GRACE = 2.0, 1.0
WAITS = 5.0


def _pids(directory: Path, number: int) -> list[tuple[str, int, float]]:
    """Name, pid and beginning of the processes of main.py, when all are there."""
    try:
        lines = (directory / "pids").read_text().splitlines()
    except FileNotFoundError:
        return []
    found = [(name, int(pid), float(began)) for name, pid, began in map(str.split, lines)]
    return found if len(found) == number else []


def time_out(tools: Sequence[str], repeat: int, scale: float) -> str:
    """Question g: main.py, its child, its grandchild and a daemon are deaf to TERM."""
    able = [tool for tool in tools if tool in SCHEDULERS and "limit" in SCHEDULERS[tool].has]

    def once(tool: str) -> Sample:
        with sandbox() as directory:
            command = [PYTHON, PROGRAMS / "tree.py", directory]
            SCHEDULERS[tool].start(Job(directory, command, timeout=LIMIT, grace=GRACE))
            tree = wait_until(lambda: _pids(directory, 4), 60, f"{tool} starts main.py")
            ends = Ends.watch({name: pid for name, pid, _ in tree})
            ended = ends.wait(LIMIT + GRACE + WAITS)
        limit = LIMIT if tool.startswith("obvious") else LIMIT + GRACE
        began = min(began for _, _, began in tree)
        first = min(ended.values(), default=None)
        return {
            "KILL after the limit, ms": None if first is None else (first - began - limit) * 1000,
            "from KILL to the last, ms": None if first is None else (max(ended.values()) - first) * 1000,
            "stay for ever": ", ".join(name for name, _, _ in tree if name not in ended) or "none",
        }

    samples = interleaved(able, repeat, once)
    return table("g. From the time-out's KILL to the last process gone", samples)


def stop(tools: Sequence[str], repeat: int, scale: float) -> str:
    """Question h: main.py would end at TERM, and by itself after 3 s."""
    able = [tool for tool in tools if tool in SCHEDULERS and "stop" in SCHEDULERS[tool].has]

    def once(tool: str) -> Sample:
        with sandbox() as directory:
            process = SCHEDULERS[tool].start(Job(directory, [PYTHON, PROGRAMS / "polite.py", directory]))
            ((_, pid, _),) = wait_until(lambda: _pids(directory, 1), 60, f"{tool} starts main.py")
            time.sleep(0.5)
            ends = Ends.watch({"main.py": pid, "tool": process.pid})
            asked = time.monotonic()
            os.kill(process.pid, signal.SIGTERM)
            ended = ends.wait(10)
        if "main.py" not in ended:
            return {"to main.py's end, ms": "never"}
        leaves = ended.get("tool")
        return {
            "to main.py's end, ms": (ended["main.py"] - asked) * 1000,
            "from there to the tool's, ms": "never" if leaves is None else (leaves - ended["main.py"]) * 1000,
        }

    samples = interleaved(able, repeat, once)
    return table("h. Stop during a run", samples)
