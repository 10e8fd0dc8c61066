"""The journal gets the lines of main.py in batches over two streams, and the scheduler's own records with fields."""

import logging
import os
import select
import socket
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from systemd import journal

from sched_runner.output.capture import Piece, tagged
from sched_runner.output.outputs import Live
from sched_runner.output.patient_stream import UNREAD, PatientStream
from sched_runner.record import messages
from sched_runner.troubles import Trouble

_SOCKET = "/run/systemd/journal/socket"
# A record waits for a full journal no longer than this, because the schedule waits with the record.
_RECORD_PATIENCE_MS = 500
_PRIORITIES = {
    messages.ALERT_LEVEL: journal.LOG_ALERT,
    logging.CRITICAL: journal.LOG_CRIT,
    logging.ERROR: journal.LOG_ERR,
    logging.WARNING: journal.LOG_WARNING,
    logging.INFO: journal.LOG_INFO,
    logging.DEBUG: journal.LOG_DEBUG,
}
_CHANNEL_PRIORITIES = {"stdout": journal.LOG_INFO, "stderr": journal.LOG_NOTICE}


class Journal(Live):
    """Sends records and lines to the journal under ``identifier``."""

    def __init__(self, identifier: str) -> None:
        super().__init__()
        self._identifier = identifier
        self._trouble = Trouble("the journal")
        self._streams = {
            channel: PatientStream("the journal", partial(_connect, identifier, priority), self.patience)
            for channel, priority in _CHANNEL_PRIORITIES.items()
        }
        self.troubles = [self._trouble, *self.patience.troubles]

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record of the scheduler's own, with its fields (systemd.journal-fields(7))."""
        if self._has_room() and self._send(record):
            self._trouble.report("")
        else:
            self._trouble.report(UNREAD, lost=1)

    def _send(self, record: logging.LogRecord) -> bool:
        fields: Mapping[str, object] = getattr(record, "fields", {})
        sent = {name: str(value) for name, value in fields.items() if value is not None}
        priority = _PRIORITIES.get(record.levelno, journal.LOG_INFO)
        try:
            journal.send(self.format(record), PRIORITY=priority, SYSLOG_IDENTIFIER=self._identifier, **sent)
        except OSError:
            return False
        return True

    def take(self, run: int, channel: str, pieces: Sequence[Piece]) -> None:
        """Write lines of main.py, as capture.Sink says."""
        self._streams[channel].write(tagged(pieces, f"{channel} run {run} ".encode()))

    def _has_room(self) -> bool:
        """Whether the journal takes a record now or soon; if it does not, journal.send would wait for ever."""
        poller = select.poll()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
                probe.connect(_SOCKET)
                poller.register(probe, select.POLLOUT)
                return bool(poller.poll(0 if self._trouble else _RECORD_PATIENCE_MS))
        except OSError:
            return False


def open_reader() -> journal.Reader | None:
    """A reader of the journal, as far as this user may see it; None if there is no journal."""
    try:
        return journal.Reader()
    except OSError:
        return None


def is_readable() -> bool:
    """Whether this user may read the system's journal, in which services write; true if there is no such journal."""
    files = [*Path("/var/log/journal").glob("*/system.journal"), *Path("/run/log/journal").glob("*/system.journal")]
    return any(os.access(file, os.R_OK) for file in files) or not files


def read_records(
    reader: journal.Reader, unit: str, message_ids: Sequence[str], since: float, *, is_users: bool
) -> Iterator[Mapping[str, Any]]:
    """The records with these MESSAGE_IDs that a unit has sent since a time, oldest first.

    ``since`` is in seconds since the epoch. ``is_users``: the unit is one of this user's service manager, and not of
    the system's.
    """
    with reader:
        sender = {"_SYSTEMD_USER_UNIT": unit, "_UID": os.getuid()} if is_users else {"_SYSTEMD_UNIT": unit}
        reader.add_match(**sender)
        for message_id in message_ids:
            reader.add_match(MESSAGE_ID=message_id)
        reader.seek_realtime(since)
        yield from reader


def _connect(identifier: str, priority: int) -> int:
    """Open a stream to the journal, as systemd-cat(1) does; gives its descriptor. Raises OSError."""
    # No level prefix: a line of main.py that begins with <3> must not change its own priority.
    with journal.stream(identifier, priority, level_prefix=False) as stream:
        return os.dup(stream.fileno())
