"""``main-scheduler once``: one run now, followed in this terminal."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sched_runner.commands import following
from sched_runner.commands.installation import Installation, environ, find
from sched_runner.exit_status import ENDED_BY_CTRL_C, ExitStatus, OperatorError
from sched_runner.record.lock import LockFile
from sched_runner.record.state import State
from sched_runner.record.store import Store, open_lock
from sched_runner.schedule.signals import Signals
from sched_runner.settings.table import SettingsError

HELP = "make one run now, in this terminal; exits as the script does (124 timed out, 127 not started)"
_LAST_PING_LASTS = 5.0
_WHAT_COUNTS = ("outcomes", "runs", "failures_in_a_row", "last_success", "last_failure", "fresh_boottime")

T = TypeVar("T")


def main(arguments: argparse.Namespace) -> int:
    """Make the run; if the service is up, its own scheduler makes the run. Raises SettingsError, OperatorError."""
    installation = find(arguments)
    name = installation.place.name
    if installation.is_service:
        status = installation.look()
        if status.pid is not None:
            return following.follow(installation, status)
    if installation.faults:
        raise SettingsError(installation.faults)
    if installation.is_service:
        different = "without the service's sandbox, credentials and limits"
        counts = "it counts neither as the service's success nor as its failure"
        print(f"{name} is not running: this run is made here, {different}; {counts}", file=sys.stderr)
        os.umask(int(installation.unit.get("UMask") or "0077", 8))
    return _make(installation)


def _make(installation: Installation) -> int:
    signals = Signals()
    from sched_runner.output.live import live
    from sched_runner.output.outputs import Outputs
    from sched_runner.run.runs import Runs
    from sched_runner.run.sweeper import become_subreaper
    from sched_runner.tell.monitoring import Monitoring

    name, reading = installation.place.name, installation.reading
    directory = reading.settings.state_dir
    lock = _lock(installation, directory)
    stop = os.eventfd(0)
    terminal = {name: value for name, value in environ().items() if name != "JOURNAL_STREAM"}
    outputs = Outputs(reading.settings.log_dir, live(terminal, name))

    def end_run() -> None:
        outputs.hurry()
        os.eventfd_write(stop, 1)

    signals.wake = end_run
    if signals.take():
        return ENDED_BY_CTRL_C
    outputs.attach()
    become_subreaper()
    monitoring: Any = _Silence() if installation.is_service else Monitoring(name)
    store = _Trial(directory, lock) if installation.is_service else Store(directory, lock)
    runs = Runs(store, outputs, monitoring, stop)
    run = runs.make_run(reading.settings, reading.environ)
    monitoring.close(_LAST_PING_LASTS)
    outputs.tell()
    return ExitStatus.TEMPFAIL if run is None else run.command_exit_status()


def _lock(installation: Installation, directory: Path) -> LockFile:
    try:
        if installation.is_service and not directory.exists():
            raise OperatorError(f"{directory} is not there: start the service once, and systemd makes it")
        return open_lock(directory)
    except OSError as error:
        raise OperatorError(f"cannot use {directory}: {error.strerror}; try with sudo") from None


class _Trial(Store):
    """The store of a service that is down: a run made here gets a number, and counts neither as success nor failure."""

    def update(self, change: Callable[[State], T], *, durable: bool = True) -> T:
        """Change the state as Store does, but let the end of the run leave what _WHAT_COUNTS names unchanged."""

        def uncounted(state: State) -> T:
            before = state.copy()
            result = change(state)
            if before.running is not None and state.running is None:
                for name in _WHAT_COUNTS:
                    setattr(state, name, getattr(before, name))
            return result

        return super().update(uncounted, durable=durable)

    def write(self, name: str, text: str) -> None:
        """Write nothing: last_success.txt and last_failure.json stay as they are."""


class _Silence:
    """Takes the place of Monitoring, and tells nobody."""

    def begun(self, *_: object) -> None:
        """Do nothing."""

    def ended(self, *_: object) -> None:
        """Do nothing."""

    def close(self, seconds: float) -> None:
        """Do nothing."""
