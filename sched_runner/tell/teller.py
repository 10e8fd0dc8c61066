"""Tells alerts by every way that is set; remembers each way on its own, so that if one fails, no other tells again."""

import time
from collections.abc import Callable, Mapping
from itertools import product

from sched_runner import clock, words
from sched_runner.output.outputs import Live
from sched_runner.record import messages
from sched_runner.record.state import State
from sched_runner.tell import alerts
from sched_runner.tell.alerts import Alert, Told
from sched_runner.tell.memory import Memory

# Something may change while an alert is delivered, and not start another one: look again, but not for ever.
_ROUNDS = 10
_LASTS = 100.0  # seconds; a round that has begun may take two minutes more
# If nothing can be remembered, alerts go out only in these first seconds of each day (UTC).
_SLOT = 360.0

# A way takes subject and text, and gives why it failed, or an empty string.
Way = Callable[[str, str], str]


def record(output: Live, subject: str, _: str) -> str:
    """Write an alert's record, without the text: the journal has the run's output already. It is a way."""
    output.handle(messages.alert(subject))
    return "the journal does not take the record" if any(output.troubles) else ""


def attempt(way: Way, alert: Alert) -> str:
    """Tell an alert by one way; gives why that failed, or an empty string."""
    return way(words.printable(alert.subject), words.printable_lines(alert.text))


def tell(
    look: Callable[[], tuple[Mapping[str, Alert | None], State]], ways: Mapping[str, Way], memory: Memory
) -> dict[str, str]:
    """Tell what ``look`` finds, until it finds nothing new; gives the reason for each way that failed.

    ``look`` gives what is wrong with each subject, and each is remembered on its own.
    """
    begin, failed = time.monotonic(), dict[str, str]()
    for _ in range(_ROUNDS):
        troubles, state = look()
        is_new = False
        for (subject, trouble), (name, way) in product(troubles.items(), ways.items()):
            if name in failed:
                continue
            fault = _tell(trouble, state, f"{name}: {subject}", way, memory)
            is_new = is_new or fault is not None
            failed |= {name: fault} if fault else {}
        if not is_new or time.monotonic() - begin > _LASTS:
            break
    return failed


def _tell(trouble: Alert | None, state: State, key: str, way: Way, memory: Memory) -> str | None:
    """Tell the trouble by one way; gives None if nothing had to be told, else why that failed, or an empty string.

    ``key`` names way and subject for the memory.
    """
    told, now = memory.told(key), clock.wall()
    alert = alerts.due(trouble, state, told, now)
    if alert is None:
        return None
    if (fault := memory.keep(key, told)) and now % alerts.DAY > _SLOT:
        return f"what was told cannot be remembered, so this is told once a day: {fault}"
    if not (fault := attempt(way, alert)):
        memory.keep(key, Told(alert.kind, now, state.failures_in_a_row, state.last_success))
    return fault
