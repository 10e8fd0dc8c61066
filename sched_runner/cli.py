"""The command line: it calls a subcommand, and turns a fault of the operator's into one message and an exit status."""

import argparse
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType

from sched_runner import __version__, words
from sched_runner.commands import add, alert, check, history, once, reload, remove, restart, run, status, trigger
from sched_runner.commands import list as list_
from sched_runner.commands.installation import environ
from sched_runner.exit_status import ENDED_BY_CTRL_C, ExitStatus, OperatorError
from sched_runner.output.live import is_journal
from sched_runner.settings.table import SettingsError
from sched_runner.troubles import said

_COMMANDS: dict[str, ModuleType] = {
    "run": run,
    "once": once,
    "check": check,
    "status": status,
    "list": list_,
    "trigger": trigger,
    "history": history,
    "alert": alert,
    "add": add,
    "remove": remove,
    "reload": reload,
    "restart": restart,
}
_MORE = """\
The service:
  settings    /etc/default/main-scheduler (man main-scheduler.default)
  script      /opt/main-scheduler/main.py
  start       systemctl enable --now main-scheduler
  new value   main-scheduler check && systemctl reload main-scheduler
  output      journalctl -u main-scheduler

main-scheduler status              speaks of the service,
main-scheduler status INSTANCE     of a further script, see add,
main-scheduler status --here       of a scheduler started by hand in this directory.
main-scheduler COMMAND --help and man main-scheduler say more.
"""
_LONGEST = 5000  # characters of a message; add and restart cut theirs earlier, so that the end of it stays
_OF_THE_SYSTEM = (add, alert, reload, remove, restart)
_OF_NO_INSTANCE = (run, reload, restart, list_, add, remove)  # they take no instance, or add that argument themselves


class _Listed(dict[str, argparse.ArgumentParser]):
    """The parsers of all commands; a message that lists the commands leaves out those that the help does not list."""

    def __iter__(self) -> Iterator[str]:
        return (name for name in super().__iter__() if hasattr(_COMMANDS[name], "HELP"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit status."""
    _prepare_standard_streams()
    try:
        return _call(argv)
    except BrokenPipeError:
        _discard_output()
        return ExitStatus.SIGNAL + signal.SIGPIPE
    except OSError as error:
        _discard_output()
        is_lost = isinstance(error, FileNotFoundError) and _has_lost_its_directory()
        return _fault(OperatorError("the current directory was removed: go to another" if is_lost else said(error)))
    except SettingsError as error:
        _tell(error)
        return ExitStatus.CONFIG
    except KeyboardInterrupt:
        return ENDED_BY_CTRL_C
    except OperatorError as error:
        return _fault(error)


def _call(argv: Sequence[str] | None) -> int:
    try:
        arguments = _arguments(argv)
        exit_status = int(arguments.function(arguments))
    except SystemExit:  # argparse has printed its help
        _flush()
        raise
    _flush()
    return exit_status


def _flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def _discard_output() -> None:
    """Throw away what standard output did not take: otherwise Python's flush at exit fails again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _has_lost_its_directory() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _fault(error: OperatorError) -> int:
    begin = "" if str(error).startswith("main-scheduler") else "main-scheduler: "  # say the name once
    print(words.printable(f"{begin}{error}", _LONGEST), file=sys.stderr)
    return error.exit_status


def _tell(error: SettingsError) -> None:
    found = "; ".join([f"{words.count(len(error.faults), 'fault')} in the settings", *getattr(error, "__notes__", [])])
    lines = [f"{found}:", *error.faults]
    # <3> makes each line an error in the journal (sd-daemon(3)).
    begin = "<3>" if is_journal(environ(), 2) else ""
    print(begin + f"\n{begin}  ".join(lines), file=sys.stderr)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.user and arguments.function in [module.main for module in _OF_THE_SYSTEM]:
        *names, last = (name for name, module in _COMMANDS.items() if module in _OF_THE_SYSTEM)
        parser.error(f"{', '.join(names)} and {last} work only for the system's service, without --user")
    return arguments


def _prepare_standard_streams() -> None:
    """Open closed standard streams: else the next file to be opened takes the place of a stream and gets its output."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # print a character that the locale lacks as an escape


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="main-scheduler",
        description="Keeps one script running: at once, and then every interval.",
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"main-scheduler {__version__}")
    parser.add_argument("--user", action="store_true", help="speak of your own services (systemctl --user)")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module in _COMMANDS.items():
        # The commands without HELP are for systemd, install.sh and packages: --help does not list these commands.
        command = commands.add_parser(name, **({"help": module.HELP} if hasattr(module, "HELP") else {}))
        command.description = getattr(module, "HELP", None) or module.DESCRIPTION
        if module not in _OF_NO_INSTANCE:
            command.add_argument(
                "instance", nargs="?", default="", help="main-scheduler@INSTANCE (default: main-scheduler)"
            )
            command.add_argument("--here", action="store_true", help="a scheduler started by hand in this directory")
        if hasattr(module, "add_arguments"):
            module.add_arguments(command)
        command.set_defaults(function=module.main)
    commands.choices = _Listed(commands.choices or {})
    return parser
