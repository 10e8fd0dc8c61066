"""What ``add`` and ``remove`` have in common: root sets up an instance, or takes it away, as a whole."""

import argparse
import contextlib
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from sched_runner.commands import units
from sched_runner.commands.installation import check_name
from sched_runner.commands.owner import acting_as
from sched_runner.commands.restart import HELD_BACK
from sched_runner.commands.units import Unit
from sched_runner.exit_status import ENDED_BY_CTRL_C, OperatorError
from sched_runner.settings import places
from sched_runner.settings.places import Place


def add_name(parser: argparse.ArgumentParser) -> None:
    """Add the argument that both commands have."""
    parser.add_argument("instance", metavar="NAME", help="the instance main-scheduler@NAME")


def place_of(arguments: argparse.Namespace, command: str) -> Place:
    """Where the instance has its things. Raises OperatorError unless root can set up services on this host."""
    check_name(arguments.instance)
    if os.getuid() != 0:
        raise OperatorError(f"must be run by root: sudo main-scheduler {command} {arguments.instance} …")
    if not places.of_system().is_installed():
        raise OperatorError("no service is installed here: install it before you add or remove an instance")
    if not os.path.isdir("/run/systemd/system"):
        raise OperatorError("systemd is not running here, and an instance is a service of systemd")
    return places.installed(arguments.instance)


def settings_of(place: Place) -> Path:
    """The environment file, which a service always has."""
    assert place.env_file
    return place.env_file


def is_taken(unit: Unit) -> bool:
    """Whether systemd has the instance up, or would start it at boot."""
    return units.is_enabled(unit) or unit.get("ActiveState", "inactive") not in ("inactive", "failed")


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold back Ctrl-C, TERM and HUP; ``go_on`` asks whether one has come, and the end of the block drops the rest."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
    try:
        yield
    finally:
        while signal.sigtimedwait(HELD_BACK, 0):
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def go_on() -> None:
    """Raises OperatorError if a signal has come that would have ended this process."""
    if signal.sigtimedwait(HELD_BACK, 0):
        raise OperatorError("interrupted: nothing is changed", ENDED_BY_CTRL_C)


def take_down(place: Place) -> None:
    """Stop and disable the instance and its alerts. The alerts come first, so that nobody is alerted to the stop."""
    alerts = [*place.alert_units, f"{place.alert}.service"]
    units.did("systemctl", "stop", "--", *alerts, patience=None)
    units.did("systemctl", "stop", "--", place.service, patience=None)  # systemd knows how long a stop may take
    units.did("systemctl", "disable", "--", place.service, *place.alert_units)
    units.did("systemctl", "reset-failed", "--", place.service, *alerts)


def data_of(place: Place) -> list[Path]:
    """The directories that systemd makes for the instance."""
    return [place.log_dir, place.state_dir, place.state_dir.with_name(place.alert)]


def delete(directories: Sequence[Path], owner: tuple[int, int]) -> list[str]:
    """Delete the directories as the user to whom they belong; gives those that stay, and why.

    The directories may hold anything by now: rmtree follows no link, even if somebody puts one there meanwhile. Root
    itself removes only the empty directories, because the directory above them is root's.
    """
    left: list[str] = []
    for directory in filter(os.path.lexists, directories):
        with acting_as(owner):
            shutil.rmtree(directory, ignore_errors=True)
        try:
            with contextlib.suppress(FileNotFoundError):
                directory.rmdir()
        except OSError as error:
            left.append(f"{directory}: {error.strerror}")
    return left
