"""``main-scheduler reload``: what ``systemctl reload`` starts; not for a terminal, and not in the help."""

import argparse
import os

from sched_runner.commands import run
from sched_runner.commands.installation import environ
from sched_runner.exit_status import ExitStatus, OperatorError
from sched_runner.schedule.signals import RELOAD
from sched_runner.settings.table import SettingsError

DESCRIPTION = "what systemctl reload starts; not for a terminal"
add_arguments = run.add_arguments


def main(arguments: argparse.Namespace) -> int:
    """Signal the scheduler if the settings are good. Raises SettingsError, OperatorError.

    systemd gives this process the service's environment, with the environment files read anew.
    """
    pid = environ().get("MAINPID", "")
    if not pid.isdigit():
        raise OperatorError("systemctl reload is the way to reload the settings", ExitStatus.USAGE)
    try:
        run.source_of(arguments, environ())[1].read()
    except SettingsError as error:
        error.add_note("the old settings stay in use")
        raise
    os.kill(int(pid), RELOAD)
    return 0
