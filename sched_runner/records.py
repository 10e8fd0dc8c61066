"""The scheduler's own records in the journal: their MESSAGE_IDs (see the catalog) and fields."""

import logging
from typing import Any

from sched_runner.outcome import FAILURES, Outcome, RunResult, signal_name

RUN_SUCCEEDED = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d01"
RUN_FAILED = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d02"
RUN_INTERRUPTED = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d03"
RUN_SKIPPED = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d04"
LEFTOVERS = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d05"
CLOCK_STEPPED = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d06"
LINES_LOST = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d07"
ALERT = "0d3b1c7f5c1f4d0e9a7c6b1f2a3e4d08"

RUN_ENDINGS = (RUN_SUCCEEDED, RUN_FAILED, RUN_INTERRUPTED)
# Above logging's own: what the journal calls an alert.
ALERT_LEVEL = 60


def fields(message_id: str, **values: object) -> dict[str, Any]:
    """What logging's ``extra`` takes, for journal.Journal to send."""
    return {"fields": {"MESSAGE_ID": message_id, **values}}


def alert(subject: str) -> logging.LogRecord:
    """The record of an alert."""
    record = logging.makeLogRecord({"msg": subject, "levelno": ALERT_LEVEL, "levelname": "ALERT"})
    vars(record).update(fields(ALERT))
    return record


def of_run(result: RunResult) -> dict[str, Any]:
    """The fields of the record that ends a run."""
    message_id = RUN_SUCCEEDED if result.outcome is Outcome.SUCCEEDED else RUN_INTERRUPTED
    return fields(
        RUN_FAILED if result.outcome in FAILURES else message_id,
        RUN=result.number,
        OUTCOME=result.outcome.value,
        EXIT_STATUS=result.exit_status,
        SIGNAL=None if result.signal is None else signal_name(result.signal),
        DURATION_SEC=f"{result.duration:.3f}",
        CPU_SEC=f"{result.cpu:.3f}",
        PEAK_MEMORY_KIB=result.peak_kib,
        STARTED=f"{result.started:.3f}",
        REASON=result.reason or None,
    )
