"""Alerts tell an operator that runs fail or do not come: at once, then once a day, and when the trouble is over."""

from collections.abc import Sequence
from dataclasses import dataclass

from sched_runner import words
from sched_runner.record import columns, messages
from sched_runner.record.columns import column
from sched_runner.record.outcome import FAILURES
from sched_runner.record.state import State
from sched_runner.record.status import Status

DAY = 86400.0  # seconds
_SLACK = 60.0  # seconds that a retry may be late
_LONGEST_HEADLINE = 200
_OVER = {"settings": "the settings are in order again", "state": "the state can be read again"}


@dataclass(frozen=True)
class Told:
    """What one way of telling (mail, for instance) told last: the kind of trouble, empty if all was well, and when.

    ``count`` is how many runs had failed in a row then, and ``success`` is the time of the last success before: if the
    state has another time now, a run has succeeded since, whatever the clock says.
    """

    kind: str = column(columns.text, "")
    when: float = column(columns.moment, 0.0)
    count: int = column(columns.integer, 0)
    success: float | None = column(columns.optional(columns.moment), None)


@dataclass(frozen=True)
class Alert:
    """What is to be told; ``kind`` says what kind of trouble it is, and is empty if the trouble is over."""

    kind: str
    subject: str
    text: str = ""


@dataclass(frozen=True)
class Failure:
    """What last_failure.json says of the last failed run, as far as an alert needs it."""

    number: int = column(columns.integer, 0)
    tail: list[str] = column(columns.list_of(columns.text, 50), list)


def troubles(
    status: Status, failure: Failure, after: int, faults: Sequence[str], unread: str
) -> dict[str, Alert | None]:
    """What is wrong with the runs, the settings and the state: an alert for each, or None if all is well with it.

    ``after`` says from how many failures in a row on they are told; ``faults`` are those of the settings; ``unread``
    says why the state cannot be read, and is empty if it can.
    """
    return {
        "runs": _of_runs(status, failure, after, is_explained=bool(faults or unread)),
        "settings": Alert("settings", f"the settings are faulty: {faults[0]}", "\n".join(faults)) if faults else None,
        "state": Alert("state", f"the state cannot be read: {unread}") if unread else None,
    }


def _of_runs(status: Status, failure: Failure, after: int, *, is_explained: bool) -> Alert | None:
    """What is wrong with the runs; if something else explains why none succeeds, only that they fail."""
    if status.state.failures_in_a_row >= after and not status.has_stopped():
        return None if _is_tried_again(status) else _failing(status.state, failure)
    stale = status.stale()
    if is_explained or not stale:
        return None
    up = "it is not running" if status.pid is None else f"it is up ({status.where()})"
    return Alert("stale", f"{stale}, {up}", f"systemctl status {status.name} says more")


def _is_tried_again(status: Status) -> bool:
    """Whether a retry is going or will begin: a run has failed only when its last attempt has failed."""
    running, retry = status.state.running, status.state.retry
    return (running is not None and running.attempt > 1) or (retry is not None and status.now < retry.when + _SLACK)


def _failing(state: State, failure: Failure) -> Alert:
    run = next((run for run in reversed(state.runs) if run.outcome in FAILURES), None)
    if run is None:
        return Alert("failing", "the last run failed")
    text = "\n".join(failure.tail) if failure.number == run.number else ""
    return Alert("failing", words.printable(messages.headline(run), _LONGEST_HEADLINE), text)


def due(trouble: Alert | None, state: State, told: Told, now: float) -> Alert | None:
    """The alert that somebody who was last told ``told`` must be told now, or None."""
    has_succeeded = state.last_success is not None and state.last_success != told.success
    if trouble is None:
        return _recovery(state, told.kind, has_succeeded=has_succeeded)
    # A time in the future comes from a clock that was wrong, or from a script that wants silence: ignore it.
    is_new = trouble.kind != told.kind or told.when > now or (has_succeeded and trouble.kind not in _OVER)
    if not is_new and now - told.when < DAY:
        return None
    return Alert(trouble.kind, trouble.subject + _how_often(trouble, state, Told() if is_new else told), trouble.text)


def _how_often(trouble: Alert, state: State, told: Told) -> str:
    count = state.failures_in_a_row
    if trouble.kind != "failing":
        return ""
    if told.kind and count > told.count:
        return f", {count - told.count:,} failures since {words.clock_time(told.when)}"
    return f", {count:,} failures in a row" if count > 1 else ""


def _recovery(state: State, kind: str, *, has_succeeded: bool) -> Alert | None:
    if kind in _OVER:
        return Alert("", _OVER[kind])
    if kind and has_succeeded:
        return Alert("", f"all is well again: a run succeeded at {words.clock_time(state.last_success or 0.0)}")
    return None
