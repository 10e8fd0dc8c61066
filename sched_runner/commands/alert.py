"""``main-scheduler alert``: tell what is wrong and was not told yet."""

import argparse
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from sched_runner import words
from sched_runner.commands import units
from sched_runner.commands.installation import Installation, environ, find
from sched_runner.exit_status import ExitStatus, OperatorError
from sched_runner.output.live import live
from sched_runner.output.outputs import Live
from sched_runner.record import files, status, store
from sched_runner.record.columns import read_or_new
from sched_runner.record.state import State
from sched_runner.tell import alerts, deliveries, teller
from sched_runner.tell.alerts import Alert
from sched_runner.tell.memory import Memory
from sched_runner.tell.teller import Way

HELP = "tell what is wrong and was not told yet; --test tries every way"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options to its parser."""
    parser.add_argument("--test", action="store_true", help="tell by every way that is set that this is a test")


def main(arguments: argparse.Namespace) -> int:
    """Tell what is wrong and was not told yet, or test every way of telling. Raises OperatorError."""
    installation = find(arguments, reads_as_owner=True)
    # The alert's unit tells what it can, even if the operator has given it another user than the service.
    if installation.is_another_users() and (arguments.test or "INVOCATION_ID" not in environ()):
        who = f"only root and the user of {installation.place.name} may tell its alerts"
        raise OperatorError(f"{who}: try with sudo", ExitStatus.UNKNOWN)
    ways = _ways(installation)
    if arguments.test:
        return _test(installation, ways)
    memory = Memory(_directory(installation))
    failed = teller.tell(partial(_look, installation), ways, memory)
    if failed:
        raise OperatorError("the alert could not be told: " + "; ".join(map(": ".join, failed.items())))
    return ExitStatus.OK


def _look(installation: Installation) -> tuple[dict[str, Alert | None], State]:
    unread = ""
    try:
        found = installation.look()
    except OperatorError as error:
        found, unread = status.of(installation.place.name, None, State()), str(error)
    settings = installation.reading.settings
    failure = read_or_new(alerts.Failure, files.read_object(settings.state_dir / store.FAILURE))
    return alerts.troubles(found, failure, settings.alert_after, installation.faults, unread), found.state


def _directory(installation: Installation) -> Path:
    """The directory that keeps what was told: the alert unit's own, to which main.py cannot write.

    If the operator has moved the state directory, that directory keeps what was told: several hosts may share it, and
    only one of them is to tell.
    """
    own, state_dir = Path("/var/lib", installation.place.alert), installation.reading.settings.state_dir
    is_moved = state_dir != installation.place.state_dir and state_dir.is_dir()
    return own if installation.is_service and own.is_dir() and not is_moved else state_dir


def _ways(installation: Installation) -> dict[str, Way]:
    settings, given = installation.reading.settings, _environment(installation)
    sender = f"{installation.place.name} on {words.printable(socket.gethostname())}"
    ways: dict[str, Way] = {"journal": partial(teller.record, _output(installation))}
    if settings.alert_mail:
        ways["mail"] = partial(deliveries.by_mail, settings.alert_mail, given, sender)
    if settings.alert_command:
        ways["command"] = partial(deliveries.by_command, settings.alert_command, given, sender)
    return ways


def _output(installation: Installation) -> Live:
    """The journal for an alert about a service, even in a terminal; otherwise the live output."""
    if not installation.is_service:
        return live(environ(), installation.place.name)
    from sched_runner.output.journal import Journal

    return Journal(installation.place.name)


def _environment(installation: Installation) -> Mapping[str, str]:
    """The environment of a delivery: the service's own values replace those that systemd gives to the alert unit."""
    given = installation.reading.environ
    if not installation.is_service:
        return given
    unit = environ() if "INVOCATION_ID" in environ() else {}
    # Programs obey files in HOME (~/.curlrc): so main.py cannot write to HOME, in the unit or by hand.
    return {**unit, **given, "HOME": unit.get("HOME", "/")}


def _test(installation: Installation, ways: Mapping[str, Way]) -> int:
    """Tell a test by each way, and print which ways work and what is missing."""
    test = Alert("test", "this is a test of the alerts, nothing is wrong")
    results = {name: teller.attempt(way, test) for name, way in ways.items()}
    missing = [f"the settings are faulty: {words.printable(fault)}" for fault in installation.faults]
    if len(ways) == 1:
        missing.append("neither SCHED_ALERT_MAIL nor SCHED_ALERT_COMMAND is set: the journal alone is told")
    if installation.is_service and (off := units.not_enabled_or_up(installation.place.alert_units)):
        missing.append(off)
    print(*(f"{name}: {fault or 'told'}" for name, fault in results.items()), *missing, sep="\n")
    return 1 if any(results.values()) or missing else ExitStatus.OK
