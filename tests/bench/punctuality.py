"""How long it takes from start to main.py, how late a due run begins, and how far the due times drift."""

import statistics
import time
from collections.abc import Sequence

from measure import LeftOutError, Sample, interleaved, table
from sandbox import CACHE, PROGRAMS, PYTHON, sandbox, stamps, wait_until
from schedulers import SCHEDULERS, Job


def start_to_exec(tools: Sequence[str], repeat: int, scale: float) -> str:
    """Question e; main.py is a Python program, whose interpreter takes the same time under every tool."""
    able = [tool for tool in tools if tool in SCHEDULERS and "at_once" in SCHEDULERS[tool].has]

    def once(tool: str) -> Sample:
        with sandbox() as directory:
            began = time.monotonic()
            SCHEDULERS[tool].start(Job(directory, [PYTHON, PROGRAMS / "stamp.py", directory]))
            first = wait_until(lambda: stamps(directory), 60, f"{tool} starts main.py")[0]
            return {"ms": (first[1] - began) * 1000}

    samples = interleaved(able, max(repeat, int(20 * scale)), once)
    return table("e. From start to main.py", samples, {"ms": ("obvious", "obvious (PyPI)")})


def lateness(tools: Sequence[str], repeat: int, scale: float) -> str:
    """Question f; main.py is a program in C, which costs half a millisecond."""
    seconds = 60.0 * scale

    def once(tool: str) -> Sample:
        scheduler = SCHEDULERS[tool]
        every = 1.0 if "seconds" in scheduler.has else 60.0
        if every > seconds / 2:
            raise LeftOutError("runs by the minute: needs --scale 2 or more")
        with sandbox() as directory:
            process = scheduler.start(Job(directory, [CACHE / "stamp", PROGRAMS / "stamp.c", directory], every=every))
            time.sleep(seconds + every + 2)
            if process.poll() is not None:
                raise LeftOutError(f"ended with status {process.returncode}")
            first = scheduler.first_due(directory)
            walls = [wall for wall, _ in stamps(directory)]
        late = [(wall - first + every / 2) % every - every / 2 for wall in walls[1:]]
        tenth = max(1, len(late) // 10)
        drift = statistics.median(late[-tenth:]) - statistics.median(late[:tenth])
        return {
            "median ms": statistics.median(late) * 1000,
            "p95 ms": sorted(late)[int(len(late) * 0.95)] * 1000,
            "drift ms": drift * 1000,
            "runs": str(len(late)),
        }

    able = [tool for tool in tools if tool in SCHEDULERS and SCHEDULERS[tool].has & {"seconds", "minutes"}]
    samples = interleaved(able, repeat, once)
    return table(f"f. How late a due run starts, over {seconds:.0f} s", samples)
