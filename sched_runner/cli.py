"""The command: subcommands, and every fault of the operator's as one message and an exit status."""

import argparse
import io
import os
import signal
import sys
from collections.abc import Sequence
from types import ModuleType

from sched_runner import __version__, words
from sched_runner.commands import add, alert, check, history, once, reload, remove, restart, run, status, trigger
from sched_runner.commands import list as list_
from sched_runner.commands.installation import environ
from sched_runner.commands.owner import OperatorError
from sched_runner.exit_status import ExitStatus
from sched_runner.output.live import is_journal
from sched_runner.settings.table import SettingsError

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
_OF_NO_INSTANCE = (run, reload, restart, list_, add, remove)  # or of one that they name themselves


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit status."""
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a mark or a file name that the locale lacks ends nothing
    arguments = _parser().parse_args(argv)
    try:
        exit_status = int(arguments.function(arguments))
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or the flush at exit fails again
        return ExitStatus.SIGNAL + signal.SIGPIPE
    except SettingsError as error:
        lines = [f"{words.count(len(error.faults), 'fault')} in the settings:", *error.faults]
        # In the journal they are errors (sd-daemon(3)).
        begin = "<3>" if is_journal(environ(), 2) else ""
        print(begin + f"\n{begin}  ".join(lines), file=sys.stderr)
        return ExitStatus.CONFIG
    except OperatorError as error:
        print(f"main-scheduler: {error}", file=sys.stderr)
        return error.exit_status
    else:
        return exit_status


def _open_standard_streams() -> None:
    """If one is closed, the next file to be opened would take its place, and be written to as if it were it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="main-scheduler",
        description="Keeps one script running: at once, and then every interval.",
        epilog="Settings are SCHED_ variables of the environment, see main-scheduler.default(5).",
    )
    parser.add_argument("--version", action="version", version=f"main-scheduler {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, module in _COMMANDS.items():
        # What has no help of its own is for systemd, and is not listed.
        command = commands.add_parser(name, **({"help": module.HELP} if hasattr(module, "HELP") else {}))
        command.description = getattr(module, "HELP", module.__doc__)
        if module not in _OF_NO_INSTANCE:
            command.add_argument(
                "instance", nargs="?", default="", help="main-scheduler@INSTANCE (default: main-scheduler)"
            )
            command.add_argument("--here", action="store_true", help="a scheduler started by hand in this directory")
        if hasattr(module, "add_arguments"):
            module.add_arguments(command)
        command.set_defaults(function=module.main)
    return parser
