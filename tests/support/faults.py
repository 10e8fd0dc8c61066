"""Faults for a scheduler under test: what the patches of launcher.py are made of, and the seams where they go in."""

import datetime as datetime_module
import os
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

# Where faults are put in, by what happens there. Each is ``module:Class.function``.
TURN = "sched_runner.schedule.service:Service._on_turn"
SIGNALS_INSTALLED = "sched_runner.schedule.signals:Signals.__init__"
DUE_TOLD = "sched_runner.schedule.scheduler:Scheduler.due"
RUN_SUBMITTED = "apscheduler.executors.base:BaseExecutor.submit_job"
RUN_ENDED = "sched_runner.run.runs:Runs._record"
RUN_TOLD = "sched_runner.run.runs:Runs._tell"
RUN_MADE = "sched_runner.run.runs:Runs.make_run"
# In this order a start reads the clocks, and takes what it has read on.
STEPS_OF_THE_START = [
    "sched_runner.clock:SteadyClock.__init__",
    "sched_runner.schedule.cadence:first_due",
    "sched_runner.schedule.cadence:of",
    "sched_runner.schedule.scheduler:Scheduler.begin",
    "sched_runner.record.state:State.start",
]
FSYNC, REPLACE = "os:fsync", "os:replace"


def overdue_after(seconds: float) -> None:
    """The schedule is not being kept if a due run has not begun after this time."""
    import_module("sched_runner.schedule.scheduler")._OVERDUE_AFTER = seconds


def impatient_pings() -> None:
    """What a server makes us wait for is over within the test."""
    pings = import_module("sched_runner.tell.pings")
    pings._TIMEOUT, pings._WAITS = 0.5, (0.0, 0.1, 0.1)


def start_with(launcher: str) -> None:
    """The program that is executed before main.py is another."""
    import_module("sched_runner.run.launcher").__file__ = launcher


def shift_clock(file: str) -> None:
    """From now on the wall clock of this process is off by the seconds in the file, read anew at each look."""
    real_time, real_datetime = time.time, datetime_module.datetime

    def shifted() -> float:
        return real_time() + float(Path(file).read_text())

    class AnyDatetime(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, real_datetime)

    class Shifted(real_datetime, metaclass=AnyDatetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return real_datetime.fromtimestamp(shifted(), tz)

    time.time = shifted
    time.time_ns = lambda: int(shifted() * 1e9)
    datetime_module.datetime = Shifted  # type: ignore[misc]


def set_offset(file: Path, seconds: float) -> None:
    """For the test: set that clock."""
    new = file.with_suffix(".new")
    new.write_text(str(seconds))
    new.replace(file)


def wrap(name: str, around: Callable[..., Any]) -> None:
    """Replace ``module:Class.function`` by ``around``, which gets the original and then its arguments."""
    module, _, path = name.partition(":")
    owner: Any = import_module(module)
    *parents, last = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, last)
    setattr(owner, last, lambda *args, **options: around(original, *args, **options))


def block_at(name: str, fifo: str, when: Callable[..., bool] = lambda *args, **options: True) -> None:
    """Where the function is called, write a line into the FIFO and stay there for ever."""

    def around(original: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if when(*args, **options):
            Path(fifo).write_text("here\n")
            while True:
                os.read(os.eventfd(0), 8)
        return original(*args, **options)

    wrap(name, around)


def linger(seconds: float) -> None:
    """What main.py has left may take so long to end by itself, however busy this machine is."""
    import_module("sched_runner.run.execution")._LINGER = seconds


def no_children_files() -> None:
    """The kernel does not list the children of a process."""

    def around(original: Callable[[str], bytes], path: str) -> bytes:
        if path.endswith("/children"):
            raise FileNotFoundError(path)
        return original(path)

    wrap("sched_runner.run.sweeper:_read", around)


def no_thread(name: str) -> None:
    """The system has no thread left when the one of this name shall begin."""

    def start(original: Callable[..., None], thread: Any) -> None:
        if thread.name == name:
            raise RuntimeError("can't start new thread")
        original(thread)

    wrap("threading:Thread.start", start)


def sendmail(program: str) -> None:
    """The host's sendmail is this program."""
    import_module("sched_runner.tell.deliveries").SENDMAIL = program


def short_deliveries(seconds: float) -> None:
    """A delivery that takes longer is given up."""
    import_module("sched_runner.tell.deliveries").LASTS = seconds
