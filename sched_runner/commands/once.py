"""``main-scheduler once``: one run now, in this terminal."""

import argparse
import os
import signal

from sched_runner.commands.installation import OperatorError, environ, find
from sched_runner.schedule.signals import Signals

HELP = "one run now, in this terminal; exits as main.py does (124 timed out, 127 not started)"
_EX_TEMPFAIL = 75  # sysexits.h
_EXIT_INTERRUPTED = 128 + signal.SIGINT
_LAST_PING_LASTS = 5.0


def main(arguments: argparse.Namespace) -> int:
    """Make the run. Raises SettingsError, OperatorError."""
    signals = Signals()
    from sched_runner.output.live import live
    from sched_runner.output.outputs import Outputs
    from sched_runner.record.store import Store, open_lock
    from sched_runner.run.runs import Runs
    from sched_runner.run.sweeper import become_subreaper
    from sched_runner.tell.monitoring import Monitoring

    installation = find(arguments)
    name, reading = installation.place.name, installation.source.read()
    directory = reading.settings.state_dir
    try:
        if installation.is_service and not directory.exists():
            raise OperatorError(f"{directory} is not there: start the service once, it makes it")
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        lock = open_lock(directory)
    except OSError as error:
        raise OperatorError(f"cannot use {directory}: {error}; try with sudo") from None
    stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    terminal = {name: value for name, value in environ().items() if name != "JOURNAL_STREAM"}
    outputs = Outputs(reading.settings.log_dir, lambda patience: live(terminal, name, patience))

    def end_run() -> None:
        outputs.hurry()
        os.eventfd_write(stop, 1)

    signals.wake = end_run
    if signals.take():
        return _EXIT_INTERRUPTED
    outputs.attach()
    become_subreaper()
    monitoring = Monitoring(name)
    runs = Runs(Store(directory, lock), lock, outputs, monitoring, stop)
    run = runs.make_run(reading.settings, reading.environ)
    monitoring.close(_LAST_PING_LASTS)
    outputs.tell()
    return _EX_TEMPFAIL if run is None else run.command_exit_status()
