"""The command: subcommands, and every fault of the operator's as one message and an exit status."""

import argparse
import io
import json
import logging
import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sched_runner import __version__, config, words
from sched_runner.config import Place, Settings, SettingsError
from sched_runner.signals import TRIGGER, Signals
from sched_runner.source import Source

if TYPE_CHECKING:
    from collections import deque

    from sched_runner.status import Status

# sysexits.h
EX_TEMPFAIL = 75
EX_CONFIG = 78
_LAST_PING_LASTS = 5.0
EX_BROKEN_PIPE = 128 + 13  # as a shell says of one that SIGPIPE killed
_MINIMAL = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class OperatorError(Exception):
    """Something that the operator can mend; becomes one message and an exit status."""

    def __init__(self, message: str, exit_status: int = 1) -> None:
        super().__init__(message)
        self.exit_status = exit_status


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit status."""
    _open_standard_streams()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a mark or a file name that the locale lacks ends nothing
    arguments = _parser().parse_args(argv)
    try:
        status = int(arguments.function(arguments))
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the flush at exit fails again
        return EX_BROKEN_PIPE
    except SettingsError as error:
        lines = [f"{words.count(len(error.faults), 'fault')} in the settings:", *error.faults]
        print("\n  ".join(lines), file=sys.stderr)
        return EX_CONFIG
    except OperatorError as error:
        print(f"main-scheduler: {error}", file=sys.stderr)
        return error.exit_status
    else:
        return status


def _open_standard_streams() -> None:
    """Where one is closed, the next file to be opened would take its place, and be written to as if it were it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="main-scheduler",
        description="Keeps one script running: at once, and then every interval.",
        epilog="Settings are SCHED_ variables of the environment, see 'main-scheduler check' and the README.",
    )
    parser.add_argument("--version", action="version", version=f"main-scheduler {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = commands.add_parser("run", help="the scheduler, in the foreground: what the unit starts")
    run.add_argument("--env-file", type=Path, metavar="FILE", help="fills in what the environment lacks")
    run.add_argument("--main", type=Path, metavar="FILE", help="the script where SCHED_MAIN names none")
    run.set_defaults(function=_run)

    for name, function, text in (
        ("once", _once, "one run now, in this terminal; exits as main.py does (124 timed out, 127 not started)"),
        ("check", _check, "every setting, where it came from, the next five due times; every fault (exit status 78)"),
        ("status", _status, "how it is going; exits 0 healthy, 1 something is wrong, 3 not running, 4 unknown"),
        ("trigger", _trigger, "ask the running scheduler to run now"),
        ("history", _history, "the runs that have ended, from the journal"),
        ("alert", _alert, "tell what is wrong and was not told yet: what main-scheduler-alert.service starts"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument(
            "instance", nargs="?", default="", help="main-scheduler@INSTANCE (default: main-scheduler)"
        )
        command.add_argument("--here", action="store_true", help="a scheduler started by hand in this directory")
        if function in (_status, _history):
            command.add_argument("--json", action="store_true", help="for programs")
        if function is _history:
            command.add_argument("--since", default="", metavar="TIME", help="a date, or a time span: 7d, 12h")
            command.add_argument("--failed", action="store_true", help="only those that did not succeed")
        command.set_defaults(function=function)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    signals = Signals()  # before the imports that take long: a signal must not be lost, or kill
    from sched_runner import notify
    from sched_runner.monitoring import Monitoring
    from sched_runner.outputs import Outputs
    from sched_runner.plugins import import_apscheduler

    import_apscheduler()
    from sched_runner.service import AlreadyRunningError, Service, StateDirectoryError

    environ = dict(os.environ)
    supervised = "NOTIFY_SOCKET" in environ
    if supervised:
        notify.enable()
    place = _place_of_run(environ, arguments.main)
    # What systemd would give is not known while the file hides it: for when the file no longer has it.
    defaults = {**_MINIMAL, "HOME": str(place.state_dir)} if supervised else {}
    known = {name: value for name, value in defaults.items() if name in environ}
    source = Source(environ, arguments.env_file, place, defaults=known, file_wins=supervised)
    settings, _ = source()
    outputs = Outputs(settings.log_dir, lambda notices: _live(environ, place.name, notices))
    try:
        Service(
            source,
            outputs,
            signals,
            Monitoring(place.name),
            supervised=supervised,
            reloadable=arguments.env_file is not None,
            watchdog=_watchdog(environ),
        ).run()
    except AlreadyRunningError as error:
        raise OperatorError(str(error), EX_TEMPFAIL) from None
    except StateDirectoryError as error:
        raise OperatorError(str(error)) from None
    except Exception:
        logging.getLogger(__name__).exception("the scheduler ends on a fault of its own")
        return 1
    return 0


def _place_of_run(environ: Mapping[str, str], main_file: Path | None) -> Place:
    """By hand this directory; under systemd what the unit says (systemd.exec(5), LogsDirectory=)."""
    place = config.here(Path.cwd())
    if main_file is not None:
        place = replace(place, main=main_file.absolute())
    if logs := environ.get("LOGS_DIRECTORY"):
        log_dir = Path(logs.split(":")[0])
        place = replace(place, log_dir=log_dir, name=log_dir.name)
    if state := environ.get("STATE_DIRECTORY"):
        place = replace(place, state_dir=Path(state.split(":")[0]))
    return place


def _live(environ: Mapping[str, str], name: str, notices: "deque[str]") -> logging.Handler:
    """The journal where standard output is connected to it (systemd.exec(5), JOURNAL_STREAM), else the terminal."""
    with suppress(OSError):
        stat = os.fstat(1)
        if environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}":
            from sched_runner.journal import Journal

            return Journal(name, notices)
    from sched_runner.terminal import Terminal

    return Terminal(1, notices, coloured=_is_coloured())


def _is_coloured() -> bool:
    return os.isatty(1) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _watchdog(environ: Mapping[str, str]) -> float | None:
    """Systemd's time in seconds (sd_watchdog_enabled(3)), or None."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    usec = environ.get("WATCHDOG_USEC", "")
    return int(usec) / 1e6 if usec.isdigit() and int(usec) else None


def _find(arguments: argparse.Namespace) -> tuple[Place, Source]:
    """The place that a subcommand speaks of, and where its settings come from."""
    place = config.installed(arguments.instance)
    if arguments.instance and arguments.here:
        raise OperatorError("give an instance or --here, not both", 2)
    # systemd escapes others, and takes a colon for two directories.
    if not re.fullmatch(r"(\w[\w.-]*)?", arguments.instance, re.ASCII):
        raise OperatorError("an instance's name begins with a letter or digit, and has those, '.', '_' and '-' only", 2)
    if arguments.here or not (arguments.instance or config.is_installed()):
        place = config.here(Path.cwd())
        for path in (Path.cwd(), place.state_dir, place.main):
            # Root may be standing in a stranger's directory.
            if not arguments.here and os.path.lexists(path) and path.lstat().st_uid != os.getuid():
                raise OperatorError(f"no service is installed, and {path} is not yours; give --here if you mean it")
        return place, Source(dict(os.environ), None, place)
    # What the unit gives, as far as a shell can.
    given = {
        "STATE_DIRECTORY": str(place.state_dir),
        "LOGS_DIRECTORY": str(place.log_dir),
        "HOME": str(place.state_dir),
    }
    return place, Source({}, place.env_file, place, defaults=_MINIMAL | given)


def _once(arguments: argparse.Namespace) -> int:
    signals = Signals()
    from sched_runner import outcome
    from sched_runner.job import Job
    from sched_runner.monitoring import Monitoring
    from sched_runner.outputs import Outputs
    from sched_runner.processes import become_subreaper
    from sched_runner.state import LockFile, StateFile

    place, source = _find(arguments)
    settings, environ = source()
    try:
        if place.env_file is not None and not settings.state_dir.exists():
            raise OperatorError(f"{settings.state_dir} is not there: start the service once, it makes it")
        owned = settings.state_dir if settings.state_dir.exists() else Path.cwd()
        environ = {**environ, **_become_owner(owned)}
        settings.state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
        lock = LockFile(settings.state_dir)
    except OSError as error:
        raise OperatorError(f"cannot use {settings.state_dir}: {error}; try with sudo") from None
    stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
    signals.wake = lambda: os.eventfd_write(stop, 1)
    if signals.take():
        return 128 + 2
    outputs = Outputs(settings.log_dir, lambda notices: _live({}, place.name, notices))
    outputs.attach()
    become_subreaper()
    monitoring = Monitoring(place.name)
    result = Job(StateFile(settings.state_dir), lock, outputs, monitoring, stop).perform(settings, environ)
    monitoring.close(_LAST_PING_LASTS)
    outputs.tell()
    return EX_TEMPFAIL if result is None else outcome.exit_status(result)


def _become_owner(directory: Path) -> dict[str, str]:
    """Root becomes the owner of the directory. Gives what changes in the environment. Raises OSError."""
    stat = directory.stat()
    if os.getuid() != 0 or stat.st_uid == 0:
        return {}
    import pwd

    user = pwd.getpwuid(stat.st_uid)
    os.initgroups(user.pw_name, user.pw_gid)
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)
    return {"USER": user.pw_name, "LOGNAME": user.pw_name}


def _check(arguments: argparse.Namespace) -> int:
    from sched_runner import check
    from sched_runner.state import StateError

    place, source = _find(arguments)
    settings, environ = source()
    first = time.time()
    with suppress(OSError, StateError):  # a start would go on without it
        first = check.next_due(settings, _look(place, settings.state_dir))
    print(check.text(settings, environ, str(place.env_file or "the environment"), first))
    return 0


def _look(place: Place, directory: Path) -> "Status":
    """What the state directory says of a scheduler. Raises OSError, StateError."""
    from sched_runner.state import LockFile, StateFile, boot_id, boottime
    from sched_runner.status import Status

    state = StateFile(directory).load()
    pid: int | None = None
    with suppress(FileNotFoundError):
        lock = LockFile(directory, writable=False)
        pid = lock.holder(LockFile.SCHEDULER)
        if pid and not state.is_of_this_host():
            pid = 0  # the number that it has on its own host
        if lock.holder(LockFile.RUN) is None:
            state.running = None  # of one that was killed
    return Status(place.name, pid, state, time.time(), boottime(), boot_id())


def _usable(source: Source) -> tuple[Settings, str]:
    """The settings, with defaults for the faulty ones, and the faults: what is running can be seen all the same."""
    try:
        return source()[0], ""
    except SettingsError as error:
        return error.settings, "\n".join(error.faults)


def _status(arguments: argparse.Namespace) -> int:
    from sched_runner.state import StateError
    from sched_runner.status import Health

    place, source = _find(arguments)
    try:
        status = _look(place, _usable(source)[0].state_dir)
    except (OSError, StateError) as error:
        print(f"{place.name}: unknown: {error}", file=sys.stderr)
        if arguments.json:
            print(json.dumps({"name": place.name, "health": "unknown", "fault": str(error)}, indent=1))
        return Health.UNKNOWN
    if arguments.json:
        print(json.dumps(status.as_json(), indent=1))
    else:
        print(status.text(coloured=_is_coloured()))
    return status.health()


def _history(arguments: argparse.Namespace) -> int:
    from sched_runner import history, journal, records
    from sched_runner.state import StateError, StateFile

    place, source = _find(arguments)
    try:
        since = history.parse_since(arguments.since, time.time()) if arguments.since else 0.0
        kept = StateFile(_usable(source)[0].state_dir).load().runs
    except ValueError as error:
        raise OperatorError(str(error), 2) from None
    except (OSError, StateError) as error:
        kept = []
        print(f"main-scheduler: only the journal is used: {error}", file=sys.stderr)
    told = () if place.env_file is None else journal.read_records(f"{place.name}.service", records.RUN_ENDINGS, since)
    runs = history.runs(told, kept, since, failed=arguments.failed)
    if arguments.json:
        print(json.dumps(runs, indent=1))
    else:
        print(history.text(runs, coloured=_is_coloured(), barred=os.isatty(1)))
    return 0


def _alert(arguments: argparse.Namespace) -> int:
    import socket
    from collections import deque

    from sched_runner import alert, records
    from sched_runner.state import StateError, StateFile, Told

    place, source = _find(arguments)
    settings, fault = _usable(source)
    store, now = StateFile(settings.state_dir), time.time()
    try:
        _become_owner(settings.state_dir)
        status = _look(place, settings.state_dir)
        due = alert.due(status, store.failure(), store.told(), after=settings.alert_after, fault=fault)
        if due is not None:
            live = _live(os.environ, place.name, deque())
            live.handle(records.alert(due.subject))
            alert.deliver(due, f"{place.name} on {socket.gethostname()}", settings.alert_mail, settings.alert_command)
            store.mark_told(Told(due.what, now))
    except (OSError, StateError, alert.UndeliveredError) as error:
        raise OperatorError(f"the alert could not be told: {error}") from None
    return 0


def _trigger(arguments: argparse.Namespace) -> int:
    from sched_runner.state import StateError

    place, source = _find(arguments)
    settings, _ = source()
    try:
        status = _look(place, settings.state_dir)
    except (OSError, StateError) as error:
        raise OperatorError(f"{place.name}: unknown: {error}") from None
    if status.pid is None:
        raise OperatorError(f"{place.name} is not running", 3)
    if status.pid == 0:
        raise OperatorError(f"{place.name} is running {status.where()}")
    try:
        os.kill(status.pid, TRIGGER)
    except PermissionError:
        raise OperatorError(f"not allowed to signal process {status.pid}; try with sudo") from None
    print(f"asked process {status.pid} to run now")
    return 0
