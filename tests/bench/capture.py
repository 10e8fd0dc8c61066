"""How fast output is captured, whether every line comes out whole, and what a gigabyte costs in memory."""

import re
import time
from collections.abc import Sequence
from pathlib import Path

import loggers
from measure import LeftOutError, Sample, Value, interleaved, table
from sandbox import PROGRAMS, PYTHON, cpu_seconds, memory_mib, sandbox, stamps, wait_until
from schedulers import SCHEDULERS, Job, Process

SHORT, LONG = 100, 4096
END = b"the last line"
# The libraries have no part in this.
TOOLS = [name for name, tool in SCHEDULERS.items() if "log" in tool.has and "PyPI" not in name] + list(loggers.LOGGERS)
ROTATING = [name for name, tool in SCHEDULERS.items() if "rotate" in tool.has] + list(loggers.LOGGERS)
RATIOS = {"lines/s": ("rotatelogs", "obvious", "yacron"), "MB/s": ("rotatelogs",)}
# The obvious script keeps all of it in memory, twice.
TAKES_ALL_MEMORY = ("obvious",)


def start(tool: str, job: Job) -> tuple[Process, str]:
    """Start the tool; gives its process and the pattern of its files."""
    if tool in SCHEDULERS:
        return SCHEDULERS[tool].start(job), SCHEDULERS[tool].log
    return loggers.begin(tool, job), loggers.LOGGERS[tool].log


def begin(directory: Path, tool: str, lines: int, length: int, times: int = 1, backups: int = 5) -> tuple[Process, str]:
    """Start the tool with a main.py that has its lines ready and waits for ``go``."""
    command = [PYTHON, PROGRAMS / "flood.py", directory, lines, length, times]
    process, log = start(tool, Job(directory, command, backups=backups))
    wait_until((directory / "ready").exists, 60, f"{tool} starts main.py")
    time.sleep(0.1)
    return process, log


def files(directory: Path, pattern: str) -> list[Path]:
    """The files of a log, newest first."""
    found = []
    for path in directory.glob(pattern):
        try:
            found.append((path.stat().st_mtime_ns, path))
        except FileNotFoundError:  # rotated away meanwhile
            continue
    return [path for _, path in sorted(found, reverse=True)]


def has_ended(directory: Path, pattern: str) -> bool:
    """Whether the last line has come out."""
    for path in files(directory, pattern)[:2]:
        try:
            with open(path, "rb") as file:
                file.seek(max(0, path.stat().st_size - 8192))
                if END in file.read():
                    return True
        except FileNotFoundError:
            continue
    return False


def speed(tool: str, lines: int, length: int) -> tuple[float, float]:
    """Wall and CPU seconds from the first write to the last line in the file."""
    with sandbox() as directory:
        process, log = begin(directory, tool, lines, length)
        before = cpu_seconds(process.pid)
        (directory / "go").touch()
        wait_until(lambda: has_ended(directory, log), 600, f"the last line of {tool}")
        ended = time.monotonic()
        return ended - stamps(directory)[0][1], cpu_seconds(process.pid) - before


def wholeness(tool: str, lines: int) -> str:
    """With so many backups that none is lost by rotation: did every line come out once, whole, in order?"""
    wanted = re.compile(rb"(\d{9}) x{%d}$" % (SHORT - 11), re.MULTILINE)
    with sandbox() as directory:
        backups = lines // 5000 + 20
        _, log = begin(directory, tool, lines, SHORT, backups=backups)
        (directory / "go").touch()
        try:
            wait_until(lambda: has_ended(directory, log), 600, f"the last line of {tool}")
        except TimeoutError:
            return "the last line never came"
        numbers: list[int] = []
        for path in files(directory, log):
            numbers += map(int, wanted.findall(path.read_bytes()))
    lost = lines - len(set(numbers))
    if lost:
        return f"no: {lost} lost or cut"
    return "yes" if len(numbers) == lines else f"no: {len(numbers) - lines} doubled"


def capture(tools: Sequence[str], repeat: int, scale: float) -> str:
    """Question a."""
    lines, long_lines = int(1_000_000 * scale), int(200e6 / LONG * scale)
    whole: dict[str, str] = {}

    def once(tool: str) -> Sample:
        seconds, cpu = speed(tool, lines, SHORT)
        long_seconds, _ = speed(tool, long_lines, LONG)
        whole[tool] = whole.get(tool) or wholeness(tool, lines)
        rotates = "yes" if tool in ROTATING and tool != "cat" else "no"
        return {
            "lines/s": lines / seconds,
            "CPU s": cpu,
            "MB/s": long_lines * LONG / 1e6 / long_seconds,
            "rotates": rotates,
            "every line whole": whole[tool],
        }

    samples = interleaved([tool for tool in TOOLS if tool in tools], repeat, once)
    title = f"a. Capture: {lines} lines of {SHORT} bytes; MB/s: {long_lines * LONG / 1e6:.0f} MB in lines of 4 KiB"
    return table(title, samples, RATIOS)


def memory(tools: Sequence[str], repeat: int, scale: float) -> str:
    """Question c."""
    times = max(1, int(100 * scale))

    def once(tool: str) -> Sample:
        if tool in TAKES_ALL_MEMORY and scale > 0.25:
            raise LeftOutError("keeps three times the output in memory (try --scale 0.1)")
        with sandbox() as directory:
            process, log = begin(directory, tool, 2560, LONG, times)
            idle = memory_mib(process.pid, "VmRSS")
            (directory / "go").touch()
            wait_until(lambda: has_ended(directory, log), 600, f"the last line of {tool}")
            peak: Value = memory_mib(process.pid, "VmHWM") if process.poll() is None else None
            return {"idle MiB": idle, "peak MiB": peak, "over idle MiB": peak - idle if peak else None}

    samples = interleaved([tool for tool in TOOLS if tool in tools and tool != "no tool"], repeat, once)
    return table(f"c. Memory at {times * 2560 * LONG / 1e9:.2g} GB of output", samples)
