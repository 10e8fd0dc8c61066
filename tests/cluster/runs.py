"""What main.py wrote: who ran when, by one clock."""

from dataclasses import dataclass
from itertools import pairwise


@dataclass
class Run:
    """`last` is when it was last alive: its end, where it has `ended` by itself."""

    host: str
    number: int
    start: float
    last: float
    asked: float | None = None
    ended: bool = False


class Records:
    """The file that main.py writes to on every host."""

    def __init__(self, path):
        self.path = path

    def runs(self, since=0.0):
        """All runs that began since, in the order of their starts."""
        runs = {}
        for line in self.path.read_text().splitlines():
            event, name, host, number, when = line.split()
            if event == "start":
                runs[name] = Run(host, int(number), float(when), float(when))
            run = runs[name]
            run.last = float(when)
            run.ended |= event == "end"
            if event == "asked":
                run.asked = run.last
        return sorted((run for run in runs.values() if run.start >= since), key=lambda run: run.start)


def overlap(runs):
    """For how long two were running at once, in seconds."""
    total, busy_until = 0.0, 0.0
    for run in runs:
        total += max(0.0, min(busy_until, run.last) - run.start)
        busy_until = max(busy_until, run.last)
    return total


def longest_gap(runs):
    """The longest time between two starts."""
    return max(later.start - earlier.start for earlier, later in pairwise(runs))
