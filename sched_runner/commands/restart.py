"""``main-scheduler restart``: restart what is up between two runs; for install.sh and packages, and not in the help.

A package calls it in the background, for a run may last longer than a package manager shall wait:
``systemd-run --no-block --collect --property=KillSignal=SIGINT main-scheduler restart --all``.
Its stop is Ctrl-C.
"""

import argparse
import contextlib
import os
import signal
import time
from collections.abc import Callable

from sched_runner import words
from sched_runner.commands import inspection, units
from sched_runner.commands.owner import acting_as
from sched_runner.commands.units import Unit, unit_named
from sched_runner.exit_status import ENDED_BY_CTRL_C, ExitStatus, OperatorError
from sched_runner.record.lock import LockOfRun
from sched_runner.settings import places

DESCRIPTION = "restart the services that are up, between two runs; install.sh and packages call this after an upgrade"
_STAYS_UP = 1.0  # seconds
_ATTEMPTS = 3
_LONGEST = 4000  # characters
HELD_BACK = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options to its parser."""
    parser.add_argument("instance", nargs="?", default="", help="main-scheduler@INSTANCE (default: main-scheduler)")
    parser.add_argument("--all", action="store_true", help="the service and all instances that are up")
    parser.add_argument("--now", action="store_true", help="do not wait for the end of a run in progress")


def main(arguments: argparse.Namespace) -> int:
    """Restart the services that are up if all of them would start; otherwise restart none. Raises OperatorError."""
    if os.getuid() != 0:
        raise OperatorError("only root may restart the service: try with sudo")
    asked = units.up() if arguments.all else [places.installed(arguments.instance).service]
    try:
        names = [name for name in asked if is_up(settled(name))]
        look_at(names)
        for name in names:
            restart(name, now=arguments.now)
    except KeyboardInterrupt:
        raise OperatorError(
            "interrupted: the services that were not restarted yet go on as they were", ENDED_BY_CTRL_C
        ) from None
    return ExitStatus.OK


def look_at(names: list[str]) -> None:
    """Raises OperatorError if one of these services would not start with the installed version and its settings."""
    found = []
    for name in names:
        place = places.installed(name.removesuffix(".service").partition("@")[2])
        faults = inspection.inspect(place, unit_named(name)).in_the_way  # seen with the service's user and sandbox
        found += [f"{name} would not start: {fault}" for fault in faults]
    if found:
        raise OperatorError(words.printable("; ".join(found), _LONGEST) + ": nothing is restarted")


def restart(name: str, *, now: bool) -> None:
    """Restart one service; interrupt a run only if ``now``. Raises OperatorError if it is not up afterwards."""
    pid = unit_named(name).get("MainPID", "0")
    with contextlib.ExitStack() as held:
        if not now:
            held.enter_context(contextlib.closing(hold_runs(name, int(pid), waits=True)))
        unit = unit_named(name)
        if unit.get("MainPID") != pid or unit.get("ActiveState") not in ("active", "reloading"):
            _say(f"{name} was restarted or stopped meanwhile")
            return
        # Between the stop and the start, no signal may end this process.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (*HELD_BACK, signal.SIGTSTP))
        try:
            _say(f"restarting {name}")
            start(name, lambda name: units.restart(name, int(pid), held.close))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if unit_named(name).get("MainPID") == pid:
        raise OperatorError(f"{name} goes on as it was: systemctl restart {name} says why")


def hold_runs(name: str, pid: int, *, waits: bool) -> LockOfRun:
    """Keep the next run from beginning; wait for the end of one in progress, or refuse. Raises OperatorError."""
    try:
        lock = LockOfRun(f"/proc/{pid}/fd")
        with acting_as(lock.owner):
            lock.open()
        is_free = lock.is_free()
        if not is_free and waits:
            # Nobody can press Ctrl-C if a package calls this command in the background.
            how = " (to interrupt it: Ctrl-C, and again with --now)" if os.isatty(1) else ""
            _say(f"{name}: waiting for the end of the run in progress{how}")
            lock.wait()
    except OSError as error:
        why = error.strerror or error
        raise OperatorError(
            f"{name}: cannot see whether a run is in progress: {why}; --now restarts without asking"
        ) from None
    if not (is_free or waits):
        lock.close()
        raise OperatorError(
            f"{name} has a run in progress: wait for its end, or interrupt it with --now", ExitStatus.TEMPFAIL
        )
    return lock


def start(name: str, systemctl: Callable[[str], bool] = units.start) -> None:
    """Start a service by a call of ``systemctl``, and see whether the service stays up. Raises OperatorError.

    Another program, such as Pacemaker, may cancel the start to make its own: then this function tries again.
    """
    unit: Unit = {}
    for _ in range(_ATTEMPTS):
        is_done = systemctl(name)
        unit = settled(name)
        if is_done or unit.get("ActiveState") != "inactive":
            break
    first = unit
    if is_up(unit):
        time.sleep(_STAYS_UP)
        unit = unit_named(name)
    if is_up(unit) and unit.get("MainPID") == first.get("MainPID"):
        return
    if is_done and unit.get("ActiveState") in ("inactive", "deactivating") and not units.why_down(unit):
        _say(f"{name} was stopped again by somebody")
        return
    state = "it was started again" if is_up(unit) else f"it is {unit.get('ActiveState', 'unknown to systemd')}"
    raise OperatorError(words.printable(f"{name} has not come up: {units.why_down(unit) or state}", _LONGEST))


def settled(name: str) -> Unit:
    """What systemd knows of the unit once it neither starts nor stops, or waits for its next attempt to start."""
    deadline = time.monotonic() + units.START_TAKES
    while True:
        unit = unit_named(name)
        is_changing = unit.get("ActiveState") in ("activating", "deactivating", "reloading")
        if not is_changing or unit.get("SubState") == "auto-restart" or time.monotonic() > deadline:
            return unit
        time.sleep(0.1)


def is_up(unit: Unit) -> bool:
    """Whether the unit is up. A unit that systemd starts again and again is not: it gets the new version by itself."""
    return unit.get("ActiveState") == "active"


def _say(text: str) -> None:
    try:
        print(f"main-scheduler: {text}", flush=True)
    except OSError:  # nobody reads the text: the restart goes on, and what is still in the buffer is no failure at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
