"""Figures beside those of other tools, in Markdown. Never a pass or a fail: the machine is part of every figure."""

import argparse
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import booted
import capture
import ending
import idle
import loggers
import punctuality
from schedulers import SCHEDULERS

Question = Callable[[Sequence[str], int, float], str]

QUESTIONS: dict[str, tuple[Question, str]] = {
    "a": (capture.capture, "capture: lines a second, and whether they come out whole"),
    "b": (booted.journal, "as a service, journal included, beside plain systemd"),
    "c": (capture.memory, "peak memory at 1 GB of output"),
    "d": (idle.idle, "idle: wake-ups, CPU, memory"),
    "e": (punctuality.start_to_exec, "from start to main.py"),
    "f": (punctuality.lateness, "how late a due run starts, and drift"),
    "g": (ending.time_out, "from the time-out's KILL to the last process gone"),
    "h": (ending.stop, "stop during a run"),
}
TOOLS = [*SCHEDULERS, *loggers.LOGGERS]


def main() -> None:
    """Print a table for each question."""
    parser = argparse.ArgumentParser(
        prog="run.sh",
        description=__doc__,
        epilog="questions: " + "; ".join(f"{letter}: {text}" for letter, (_, text) in QUESTIONS.items()),
    )
    parser.add_argument("questions", nargs="*", choices=[[], *QUESTIONS], default=[], help="default: all")
    parser.add_argument("--tools", default=",".join(TOOLS), help="of: %(default)s")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--scale", type=float, default=1.0, metavar="X", help="smaller or larger than life: 0.1 is quick"
    )
    arguments = parser.parse_args()
    tools = arguments.tools.split(",")
    if unknown := sorted(set(tools) - set(TOOLS)):
        parser.error(f"no such tool: {', '.join(unknown)}")
    machine = f"{platform.freedesktop_os_release()['PRETTY_NAME']}, Python {platform.python_version()}"
    print(f"{datetime.now(UTC):%Y-%m-%d}, {machine}, medians of {arguments.repeat}\n")
    for letter in arguments.questions or QUESTIONS:
        question, _ = QUESTIONS[letter]
        print(question(tools, arguments.repeat, arguments.scale), flush=True)


if __name__ == "__main__":
    main()
