"""``main-scheduler run``: the scheduler, in the foreground."""

import argparse
import importlib
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sched_runner.commands.units import MINIMAL
from sched_runner.exit_status import ExitStatus, OperatorError
from sched_runner.record.lock import LockFile
from sched_runner.record.store import open_lock
from sched_runner.schedule.signals import Signals
from sched_runner.settings import places
from sched_runner.settings.places import Place
from sched_runner.settings.source import Source

HELP = "be the scheduler, in the foreground: the unit starts this"


def add_arguments(parser: argparse.ArgumentParser, *, hidden: bool = False) -> None:
    """Add the command's own options to its parser."""
    texts = ("fills in what the environment lacks", "the script if SCHED_MAIN names none")
    for name, text in zip(("--env-file", "--main"), texts, strict=True):
        parser.add_argument(name, type=Path, metavar="FILE", help=argparse.SUPPRESS if hidden else text)


def main(arguments: argparse.Namespace) -> int:
    """Keep the schedule until a signal ends it. Raises SettingsError, OperatorError."""
    signals = Signals()  # before the long imports: meanwhile a signal must neither be lost nor kill
    from sched_runner.output.live import live
    from sched_runner.output.outputs import Outputs
    from sched_runner.tell.monitoring import Monitoring

    import_scheduler()
    from sched_runner.schedule.service import Service

    environ = dict(os.environ)
    place, source = source_of(arguments, environ)
    reading = source.read()
    outputs = Outputs(reading.settings.log_dir, live(environ, place.name))
    try:
        service = Service(source, reading, outputs, signals, Monitoring(place.name), environ)
        outputs.attach()  # not earlier: if descriptors run out, the outputs cannot be opened, and say nothing
        service.run(_claim(reading.settings.state_dir))
    except OperatorError:
        raise
    except Exception:
        logging.getLogger(__name__).exception("the scheduler ends on a fault of its own")
        return ExitStatus.FAULT
    finally:
        signals.ignore()
    return ExitStatus.OK


def _claim(directory: Path) -> LockFile:
    """Become the scheduler of the state directory. Raises OperatorError."""
    try:
        lock = open_lock(directory)
    except OSError as error:
        raise OperatorError(f"{directory} cannot be used: {error.strerror}") from None
    holder = lock.claim()
    if holder is not None:
        who = f"process {holder}" if holder else "a process that cannot be seen from here"
        raise OperatorError(f"{who} is the scheduler of {directory}", ExitStatus.TEMPFAIL)
    return lock


def import_scheduler() -> None:
    """Import those parts of the scheduler that take long to import."""
    from sched_runner.schedule.lean_import import import_apscheduler

    import_apscheduler()
    importlib.import_module("sched_runner.schedule.service")


def source_of(arguments: argparse.Namespace, environ: Mapping[str, str]) -> tuple[Place, Source]:
    """The place of a scheduler with these arguments and this environment, and the source of its settings."""
    place = _place(environ, arguments.main)
    # If the file sets PATH, LANG or HOME, systemd's own value is unknown: these stand in once the file drops the name.
    defaults = {**MINIMAL, "HOME": str(place.state_dir)} if "NOTIFY_SOCKET" in environ else {}
    known = {name: value for name, value in defaults.items() if name in environ}
    return place, Source(environ, arguments.env_file, place, defaults=known)


def _place(environ: Mapping[str, str], main_file: Path | None) -> Place:
    """The place: by hand, this directory; under systemd, what the unit says (systemd.exec(5), LogsDirectory=)."""
    place = places.here(Path.cwd())
    if main_file is not None:
        place = replace(place, main=main_file.absolute())
    if environ.get("INVOCATION_ID") and Path.cwd() != Path("/"):  # the unit's WorkingDirectory=
        place = replace(place, workdir=Path.cwd())
    if logs := environ.get("LOGS_DIRECTORY"):
        log_dir = Path(logs.split(":")[0])
        place = replace(place, log_dir=log_dir, name=log_dir.name)
    if state := environ.get("STATE_DIRECTORY"):
        place = replace(place, state_dir=Path(state.split(":")[0]))
    return place
