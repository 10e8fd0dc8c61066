"""What operators were told, by each way of telling: kept where main.py cannot write, if there is such a place."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sched_runner.record import store
from sched_runner.tell import alerts
from sched_runner.tell.alerts import Told


class Memory:
    """Reads all of the directories, and writes to the first that can be written: a disk may be full."""

    def __init__(self, directories: Sequence[Path], now: float) -> None:
        """What is said to have been told after ``now`` is no memory of ours."""
        self._files = [directory / store.TOLD for directory in directories]
        self._told: dict[str, Told] = {}
        for file in self._files:
            for way, values in store.read_object(file).items():
                told = alerts.told(values)
                if self.told(way).when < told.when <= now:
                    self._told[way] = told

    def told(self, way: str) -> Told:
        """What was told this way last."""
        return self._told.get(way, Told())

    def keep(self, way: str, told: Told) -> str:
        """Remember this; gives why that cannot be done, or an empty string."""
        self._told[way] = told
        text = json.dumps({way: asdict(told) for way, told in self._told.items()}) + "\n"
        fault = ""
        for file in self._files:
            try:
                file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
                if file.is_dir():  # a script may have made it, to have nothing remembered
                    store.set_aside(file)
                store.write_atomic(file, text)
            except OSError as error:
                fault = fault or str(error)
            else:
                return ""
        return fault
