"""``main-scheduler alert``: tell what is wrong and was not told yet."""

import argparse
import os
import socket

from sched_runner import clock
from sched_runner.commands.installation import environ, find
from sched_runner.commands.owner import OperatorError
from sched_runner.record.store import StateError

HELP = "tell what is wrong and was not told yet: what main-scheduler-alert.service starts"


def main(arguments: argparse.Namespace) -> int:
    """Tell it. Raises OperatorError."""
    import json

    from sched_runner.output.live import live
    from sched_runner.output.patient_stream import Patience
    from sched_runner.record import messages, store
    from sched_runner.tell import alerts

    installation = find(arguments)
    settings, fault = installation.settings_and_fault()
    directory, now = settings.state_dir, clock.wall()
    try:
        status = installation.look()
        last = alerts.failure(store.read_object(directory / store.FAILURE))
        told = alerts.told(store.read_object(directory / store.TOLD))
        due = alerts.due(status, last, told, after=settings.alert_after, fault=fault)
        if due is not None:
            live(environ(), installation.place.name, Patience()).handle(messages.alert(due.subject))
            sender = f"{installation.place.name} on {socket.gethostname()}"
            alerts.deliver(due, sender, settings.alert_mail, settings.alert_command)
            store.write_atomic(directory / store.TOLD, json.dumps({"what": due.what, "when": now}) + "\n")
    except (OSError, StateError, alerts.UndeliveredError) as error:
        raise OperatorError(f"the alert could not be told: {error}") from None
    return os.EX_OK
