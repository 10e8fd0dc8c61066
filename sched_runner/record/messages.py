"""Sentences about a run, and the MESSAGE_IDs of the scheduler's own records in the journal (see the catalog)."""

import logging
from typing import Any

from sched_runner import words
from sched_runner.record import run_record
from sched_runner.record.outcome import FAILURES, Outcome, signal_name
from sched_runner.record.run_record import Run

RUN_SUCCEEDED = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d01"
RUN_FAILED = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d02"
RUN_INTERRUPTED = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d03"
RUN_SKIPPED = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d04"
LEFTOVERS = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d05"
CLOCK_STEPPED = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d06"
LINES_LOST = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d07"
ALERT = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d08"

RUN_ENDINGS = (RUN_SUCCEEDED, RUN_FAILED, RUN_INTERRUPTED)
# A level above those of logging; the journal gets it as LOG_ALERT.
ALERT_LEVEL = 60


def fields(message_id: str, **values: object) -> dict[str, Any]:
    """Fields of a record in the journal, as logging's ``extra``; journal.Journal sends them."""
    return {"fields": {"MESSAGE_ID": message_id, **values}}


def alert(subject: str) -> logging.LogRecord:
    """The log record of an alert."""
    record = logging.makeLogRecord({"msg": subject, "levelno": ALERT_LEVEL, "levelname": "ALERT"})
    vars(record).update(fields(ALERT))
    return record


def of_run(run: Run) -> dict[str, Any]:
    """The fields of the record in the journal that tells of the end of a run."""
    message_id = RUN_SUCCEEDED if run.outcome is Outcome.SUCCEEDED else RUN_INTERRUPTED
    return fields(RUN_FAILED if run.outcome in FAILURES else message_id, **run_record.journal_fields(run))


def was(outcome: Outcome | None) -> str:
    """The words that follow "run 7": ``succeeded``, ``was killed``."""
    if outcome is None:
        return "has ended"
    is_verb = outcome in (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TIMED_OUT)
    return outcome.value if is_verb else f"was {outcome.value}"


def how_long(run: Run) -> str:
    """How long the run took; ``?`` if nobody saw its end."""
    return "?" if run.duration is None else words.duration(run.duration)


def cause(run: Run) -> str:
    """Why a run ended as it did: the reason, else the signal, else an exit status other than 0, else empty."""
    if run.reason:
        return words.printable(run.reason)
    if run.signal is not None:
        return signal_name(run.signal)
    return f"exit status {run.exit_status}" if run.exit_status else ""


def headline(run: Run) -> str:
    """How the run ended and why, in one line without figures: for the subject of a mail."""
    because = cause(run)
    return f"run {run.number} {was(run.outcome)}" + (f": {because}" if because else "")


def summary(run: Run) -> str:
    """One line that says how the run ended, how long it took and what it used."""
    if run.outcome is Outcome.NOT_STARTED:
        return f"run {run.number} could not start: {words.printable(run.reason)}"
    used = f"CPU {words.duration(run.cpu)}, peak memory {words.size(run.peak_kib)}"
    return f"run {run.number} {_ending(run)} ({used})"


def _ending(run: Run) -> str:
    took = how_long(run)
    if run.outcome is Outcome.SUCCEEDED:
        return f"succeeded in {took}"
    if run.outcome is Outcome.FAILED:
        return f"failed with exit status {run.exit_status} after {took}"
    if run.outcome is Outcome.KILLED:
        return f"was killed{'' if run.signal is None else f' by {signal_name(run.signal)}'} after {took}"
    return f"{was(run.outcome)} after {took}{_ended_by(run)}"


def _ended_by(run: Run) -> str:
    if run.signal is not None:
        return f" and was ended by {signal_name(run.signal)}"
    if run.exit_status is not None:
        return f" and ended with exit status {run.exit_status}"
    return " and could not be ended"
