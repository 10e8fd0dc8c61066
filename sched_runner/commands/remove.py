"""``main-scheduler remove``: take away what ``add`` has set up; the script, and what its runs have left, stay."""

import argparse
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from sched_runner import words
from sched_runner.commands import instance, restart
from sched_runner.commands.configured import as_configured, environ_of, owner_of
from sched_runner.commands.installation import installed, known
from sched_runner.commands.instance import is_taken, settings_of
from sched_runner.commands.units import unit_named
from sched_runner.exit_status import ExitStatus, OperatorError
from sched_runner.settings.places import Place
from sched_runner.settings.table import Settings

HELP = "stop an instance and remove its settings; its script stays, and so do its logs"
_UNITS = Path("/etc/systemd/system")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options to its parser."""
    instance.add_name(parser)
    parser.add_argument("--now", action="store_true", help="interrupt a run in progress")
    parser.add_argument("--purge", action="store_true", help="remove its logs and state too")


def main(arguments: argparse.Namespace) -> int:
    """Remove the instance, and print what this has changed. Raises OperatorError."""
    place = instance.place_of(arguments, "remove")
    unit = known(place)
    if unit.get("LoadState") == "masked":
        raise OperatorError(f"{place.name} is masked, so it cannot be disabled: first systemctl unmask {place.name}")
    owner = owner_of(place, unit)
    configured = as_configured(place, unit)
    settings = installed(configured, unit, environ_of(configured, unit)).reading.settings
    was_there = os.path.lexists(settings_of(place)) or is_taken(unit)
    pid = int(unit.get("MainPID") or 0)
    with instance.held_back(), contextlib.ExitStack() as held:
        if pid and not arguments.now:
            held.enter_context(contextlib.closing(restart.hold_runs(place.name, pid, waits=False)))
        instance.take_down(place)
        if is_taken(unit_named(place.service)):
            raise OperatorError(f"{place.name} cannot be stopped and disabled: nothing is removed")
        _unlink(settings_of(place))
        left = instance.delete(instance.data_of(place), owner) if arguments.purge else []
    gone = f"removed {place.name}: it is stopped and disabled, and {place.env_file} is gone"
    print(gone if was_there else f"{place.name} was removed before")
    print(*_kept(place, settings), sep="\n")
    if left:
        raise OperatorError(f"not everything could be removed: {words.printable('; '.join(left))}")
    return ExitStatus.OK


def _unlink(path: Path) -> None:
    """Remove the environment file. Raises OperatorError if that fails."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OperatorError(f"stopped and disabled, but {path} cannot be removed: {error.strerror}") from None


def _kept(place: Place, settings: Settings) -> Iterator[str]:
    """What is still there after the removal: a line for each kind."""
    if os.path.lexists(settings.main):
        yield f"its script stays: {words.printable(settings.main)}"
    data = [path for path in (settings.log_dir, settings.state_dir) if os.path.lexists(path)]
    if data:
        yield f"its logs and its state stay: {words.printable(' '.join(map(str, data)))}"
    if settings.metrics_file and os.path.lexists(settings.metrics_file):
        yield f"its metrics file stays, and Prometheus goes on reading it: {words.printable(settings.metrics_file)}"
    if drop_ins := [str(path) for name in (place.name, place.alert) for path in sorted(_UNITS.glob(f"{name}.*.d"))]:
        yield f"its drop-ins stay: {' '.join(drop_ins)}"
