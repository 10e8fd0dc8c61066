"""Remembers what operators were told, for each way of telling."""

import json
import os
from dataclasses import asdict
from pathlib import Path

from sched_runner.record import files
from sched_runner.record.columns import read_or_new
from sched_runner.tell.alerts import Told
from sched_runner.troubles import fault_of

_SIZE = 2048  # bytes; the file has this size from the start, so that there is room in it when the disk is full


class Memory:
    """What was told last, kept in a file that is made while there is room on the disk."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "last_alert.json"
        self._told = {way: read_or_new(Told, values) for way, values in files.read_object(self._file).items()}
        if not os.path.exists(self._file):  # which does not fail where this user may not look
            self._save()

    def told(self, way: str) -> Told:
        """What was told this way last."""
        return self._told.get(way, Told())

    def keep(self, way: str, told: Told) -> str:
        """Remember what was told this way; gives why the file cannot be written, or an empty string."""
        self._told[way] = told
        return self._save()

    def _save(self) -> str:
        text = json.dumps({way: asdict(told) for way, told in self._told.items()}).ljust(_SIZE) + "\n"
        fault = fault_of(lambda: self._replace(text))
        return fault if fault and fault_of(lambda: self._overwrite(text)) else ""

    def _replace(self, text: str) -> None:
        self._file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        files.write_own(self._file, text)

    def _overwrite(self, text: str) -> None:
        descriptor = os.open(self._file, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, text.encode(), 0)
        finally:
            os.close(descriptor)
