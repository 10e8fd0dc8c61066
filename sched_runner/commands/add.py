"""``main-scheduler add``: set up a further script as an instance of the service, completely or not at all."""

import argparse
import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from sched_runner import clock, words
from sched_runner.commands import inspection, instance, restart, units
from sched_runner.commands.configured import owner_of, user_of
from sched_runner.commands.instance import is_taken, settings_of
from sched_runner.commands.units import Unit, unit_named
from sched_runner.exit_status import ExitStatus, OperatorError
from sched_runner.run import hints
from sched_runner.schedule import cadence
from sched_runner.settings import environment_file, places, table
from sched_runner.settings.places import Place
from sched_runner.settings.table import Settings

HELP = "have a further script run, as an instance: write its settings, check and start it"
_LONGEST = 4000  # characters
_OPTIONS = {"SCHED_INTERVAL": "--every", "SCHED_CALENDAR": "--calendar", "SCHED_ENV": "--env"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's own options to its parser."""
    instance.add_name(parser)
    parser.add_argument("script", metavar="SCRIPT", type=Path, help="the script; it stays where it is")
    how_often = parser.add_mutually_exclusive_group()
    how_often.add_argument("--every", metavar="SPAN", default="", help="the time between two runs: 30min")
    how_often.add_argument("--calendar", metavar="TIMES", default="", help="when it runs: 'Mon..Fri 08:30'")
    parser.add_argument("--env", metavar="NAME", default="", help="its SCHED_ENV: test or prod")
    parser.add_argument("--no-start", action="store_true", help="write and check the settings, and start nothing")


def main(arguments: argparse.Namespace) -> int:
    """Add the instance, and print what this has changed. Raises OperatorError."""
    place = instance.place_of(arguments, "add")
    values = _values(arguments)
    settings = _settings(values, place)
    text = _text(place, values)
    unit = _free(place)
    has_history = os.path.lexists(place.state_dir)
    alerts = _alerts_as_of_the_service(place)
    with instance.held_back(), contextlib.ExitStack() as undo:
        _write(settings_of(place), text, user_of(place, unit)[1], undo)
        _check(place, settings, unit)
        if not arguments.no_start:
            _start(place, alerts, unit, undo)
        instance.go_on()
        undo.pop_all()
    print("\n".join(_told(place, settings, alerts, has_history=has_history, is_up=not arguments.no_start)))
    return ExitStatus.OK


def _values(arguments: argparse.Namespace) -> dict[str, str]:
    """The settings of the new instance. Raises OperatorError."""
    if not (arguments.every or arguments.calendar or arguments.env):
        raise OperatorError(
            "say how often the script runs: --every 30min, --calendar 'Mon..Fri 08:30' or --env prod", ExitStatus.USAGE
        )
    values = {
        "SCHED_MAIN": str(_script(arguments.script)),
        "SCHED_ENV": arguments.env,
        "SCHED_INTERVAL": arguments.every,
        "SCHED_CALENDAR": arguments.calendar,
        # With --calendar the operator has named the times: the first run waits for one of them.
        "SCHED_START": "due" if arguments.calendar else "",
    }
    return {name: value for name, value in values.items() if value}


def _settings(values: Mapping[str, str], place: Place) -> Settings:
    """The settings that the values mean. Raises OperatorError, in whose message they have the names of the options."""
    settings, faults = table.load(values, place)
    if not faults:
        return settings
    told = "; ".join([*faults, "nothing is added"])
    for name, option in _OPTIONS.items():
        told = told.replace(f"{name}=", f"{option} ").replace(name, option)
    raise OperatorError(told, ExitStatus.CONFIG)


def _script(path: Path) -> Path:
    """The absolute path of the script; root only asks whether it is a regular file. Raises OperatorError."""
    script, why = path.absolute(), "is not a regular file"
    try:
        if stat.S_ISREG(script.stat().st_mode):
            return script
    except OSError as error:
        why = f"cannot be seen: {error.strerror}"
    raise OperatorError(f"{words.printable(script)} {why}")


def _text(place: Place, values: Mapping[str, str]) -> str:
    """The text of the environment file. Raises OperatorError for a value that such a file cannot hold."""
    lines = [
        f"# Settings of {place.name}. After an edit: systemctl reload {place.name}",
        f"# {places.installed().env_file} shows what else may be set.",
    ]
    for name, value in values.items():
        try:
            lines.append(environment_file.line(name, value))
        except ValueError as error:
            raise OperatorError(f"{name}={words.printable(value)}: {error}") from None
    return "\n".join(lines) + "\n"


def _free(place: Place) -> Unit:
    """What systemd knows of the instance. Raises OperatorError if the instance has settings, is enabled or is up."""
    if os.path.lexists(settings_of(place)):
        again = f"edit it, or begin with main-scheduler remove {place.name.partition('@')[2]}"
        raise OperatorError(f"{place.name} is there already, with {place.env_file}: {again}")
    unit = unit_named(place.service)
    if is_taken(unit):
        first = f"systemctl disable --now {place.name} makes room for another"
        raise OperatorError(f"{place.name} is enabled or up, without {place.env_file}: {first}")
    return unit


def _alerts_as_of_the_service(place: Place) -> list[str]:
    """The instance's alert units of the kinds (path, timer) that are enabled for the service itself."""
    enabled = units.show(places.installed().alert_units)
    kinds = [name.rpartition(".")[2] for name, unit in enabled.items() if units.is_enabled(unit)]
    return [name for name in place.alert_units if name.rpartition(".")[2] in kinds]


def _write(path: Path, text: str, group: int, undo: contextlib.ExitStack) -> None:
    """Write a new file that root and the group can read; ``undo`` removes the file again. Raises OperatorError."""
    try:
        # O_EXCL follows no link, not even a link that leads nowhere.
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        undo.callback(path.unlink)
        with open(file, "w", encoding="utf-8") as opened:
            opened.write(text)
            os.fchown(file, 0, group)
            os.fchmod(file, 0o640)
    except OSError as error:
        raise OperatorError(f"{path} cannot be written: {error.strerror}") from None


def _check(place: Place, settings: Settings, unit: Unit) -> None:
    """Look with the service's user and sandbox. Raises OperatorError if something would keep a run from starting."""
    report = inspection.inspect(place, unit)
    faults = list(report.faults)
    hides = f"the sandbox hides {settings.main} from the service: put it elsewhere, for instance to {place.main}"
    if report.notes and not faults:  # root can see the script, and the service cannot
        faults = [hides]
    in_home = f"a run cannot start: {words.printable(settings.main)}: "
    faults = [hides if fault.startswith(in_home) and hints.IN_HOME in fault else fault for fault in faults]
    instance.go_on()
    if faults:
        raise OperatorError(words.printable("; ".join(faults), _LONGEST) + ": nothing is added", ExitStatus.CONFIG)


def _start(place: Place, alerts: list[str], unit: Unit, undo: contextlib.ExitStack) -> None:
    """Start the instance and its alerts, now and at every boot; ``undo`` takes them down. Raises OperatorError."""
    new = [path for path in instance.data_of(place) if not os.path.lexists(path)]
    undo.callback(instance.delete, new, owner_of(place, unit))
    undo.callback(instance.take_down, place)
    if not units.did("systemctl", "enable", "--", place.service, *alerts):
        raise OperatorError(f"systemctl enable {' '.join([place.service, *alerts])} fails: nothing is added")
    try:
        restart.start(place.service)
    except OperatorError as error:
        raise OperatorError(f"{error}; nothing is added") from None
    if alerts and not units.did("systemctl", "start", "--", *alerts):
        raise OperatorError(f"systemctl start {' '.join(alerts)} fails: nothing is added")


def _told(place: Place, settings: Settings, alerts: list[str], *, has_history: bool, is_up: bool) -> Iterator[str]:
    now = datetime.fromtimestamp(clock.wall(), UTC)
    kept = cadence.of(settings, now)
    due = words.zoned_time(kept.after(now).timestamp())
    since = f"from {due} on" if settings.start == "due" else "from now on"
    how = f"{words.printable(settings.main)} {words.printable(kept.every)}, with SCHED_ENV={settings.environment}"
    yield f"wrote {place.env_file}; its check has found no fault"
    if is_up:
        yield f"started {place.service}, now and at every boot: it runs {how}, {since}"
        if alerts:
            why = "because those of the service are enabled; SCHED_ALERT_MAIL is not copied"
            yield f"started {' and '.join(alerts)}, {why}"
    else:
        yield f"not started: it would run {how}"
    yield f"logs in {place.log_dir}, state in {place.state_dir}"
    if has_history:
        yield f"an earlier {place.name} has left its state there: the numbers of the runs go on"
    yield "next:"
    if is_up:
        yield f"  sudo main-scheduler status {place.name.partition('@')[2]}"
        yield f"  {place.journal}"
    else:
        yield f"  sudoedit {place.env_file}"
        yield f"  sudo systemctl enable --now {' '.join([place.service, *alerts])}"
