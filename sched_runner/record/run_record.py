"""The record of a run: one type, and one table of its fields."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from sched_runner import clock
from sched_runner.exit_status import ENDED_BY_CTRL_C, ExitStatus
from sched_runner.record import columns
from sched_runner.record.columns import column
from sched_runner.record.outcome import Outcome, signal_name, signal_number

_SIGNALS = 256


def _seconds(value: float) -> str:
    return f"{value:.3f}"


def _signal(value: Any) -> int:
    if columns.integer(value) >= _SIGNALS:
        raise ValueError("no signal")
    return int(value)


@dataclass(frozen=True)
class Run:
    """A run that is going or has ended.

    ``started`` and ``ended`` are in seconds since the epoch; ``started_boottime`` is ``started`` on the boot clock,
    which also measures ``duration`` (in seconds); ``ended`` and ``duration`` are None as long as the run is going, and
    stay so if its scheduler was killed: nobody saw the end.
    ``cpu`` is in seconds, ``peak_kib`` the peak resident memory of the largest process of the run in KiB
    (getrusage(2)). ``reason`` is the line that names the error. ``attempt`` counts from 1: a retry is a run with a
    number of its own.

    This is the table: a field's name stands in state.json, in last_failure.json and in --json; ``journal`` names its
    field in the journal, ``write`` turns a value into that field, and ``restore`` turns the field back; ``metric`` is
    its name and its explanation for Prometheus, where the value is multiplied by ``metric_unit``.
    """

    number: int = column(columns.integer, 0, journal="RUN", restore=int)
    outcome: Outcome | None = column(
        columns.optional(Outcome), None, journal="OUTCOME", write=lambda o: o.value, restore=str
    )
    started: float = column(columns.moment, 0.0, journal="STARTED", write=_seconds, restore=float)
    started_boottime: float | None = column(columns.optional(columns.moment), None)
    ended: float | None = column(columns.optional(columns.moment), None)
    duration: float | None = column(
        columns.optional(columns.length),
        None,
        journal="DURATION_SEC",
        write=_seconds,
        restore=float,
        metric=("last_run_duration_seconds", "How long the last run took."),
    )
    exit_status: int | None = column(columns.optional(columns.integer), None, journal="EXIT_STATUS", restore=int)
    signal: int | None = column(
        columns.optional(_signal), None, journal="SIGNAL", write=signal_name, restore=signal_number
    )
    cpu: float = column(
        columns.length,
        0.0,
        journal="CPU_SEC",
        write=_seconds,
        restore=float,
        metric=("last_run_cpu_seconds", "CPU time of the last run."),
    )
    peak_kib: int = column(
        columns.integer,
        0,
        journal="PEAK_MEMORY_KIB",
        restore=int,
        metric=("last_run_peak_memory_bytes", "Peak resident memory of the largest process of the last run."),
        metric_unit=1024,
    )
    reason: str = column(columns.text, "", journal="REASON", write=lambda reason: reason or None, restore=str)
    attempt: int = column(columns.integer, 1, journal="ATTEMPT", restore=int)

    def going_for(self, now: float, boottime: float | None) -> float:
        """For how many seconds the run is going: by the boot clock, which nobody can set, if ``boottime`` is given."""
        if boottime is None or self.started_boottime is None:
            return max(0.0, now - self.started)
        return max(0.0, boottime - self.started_boottime)

    def end(self, outcome: Outcome, at: float | None = None, **details: Any) -> "Run":
        """The record of this run after its end, which is now, or ``at`` a time of the boot clock."""
        since = clock.boottime() - at if at is not None else 0.0
        began = self.started_boottime or 0.0
        duration = max(0.0, clock.boottime() - since - began) if began else 0.0
        return replace(self, outcome=outcome, ended=max(0.0, clock.wall() - since), duration=duration, **details)

    def command_exit_status(self) -> int:
        """The exit status with which ``main-scheduler once`` reports this run."""
        if self.outcome is Outcome.TIMED_OUT:
            return ExitStatus.TIMED_OUT
        if self.outcome is Outcome.NOT_STARTED:
            return ExitStatus.NOT_STARTED
        if self.outcome is Outcome.INTERRUPTED:
            return ENDED_BY_CTRL_C
        if self.signal is not None:
            return ExitStatus.SIGNAL + self.signal
        return self.exit_status or (ExitStatus.OK if self.outcome is Outcome.SUCCEEDED else ExitStatus.FAULT)


def begin(number: int, attempt: int = 1) -> Run:
    """The record of a run that begins now, as the first attempt or a later one."""
    return Run(number, attempt=attempt, started=clock.wall(), started_boottime=clock.boottime())


def as_json(run: Run) -> dict[str, Any]:
    """The run for state.json, for last_failure.json and for --json."""
    return vars(run) | {"outcome": run.outcome.value if run.outcome else None}


def from_json(values: Any) -> Run:
    """The run in an object that ``as_json`` has made; unknown names are skipped. Raises ValueError."""
    return columns.read(Run, values)


def ended_from_json(values: Any) -> Run:
    """The run, which must have ended, in an object that ``as_json`` has made. Raises ValueError."""
    run = from_json(values)
    if run.outcome is None:
        raise ValueError("a run without an outcome")
    return run


def journal_fields(run: Run) -> dict[str, object]:
    """The run as fields of a record of the journal."""
    values = ((f, getattr(run, f.name)) for f in fields(run) if "journal" in f.metadata)
    return {f.metadata["journal"]: _written(f.metadata, value) for f, value in values}


def _written(metadata: Mapping[str, Any], value: Any) -> object:
    write: Callable[[Any], object] = metadata.get("write", lambda plain: plain)
    return None if value is None else write(value)


def from_journal(record: Mapping[str, Any]) -> Run:
    """The run that a record of the journal describes. Raises ValueError."""
    if record.get("RUN") is None or record.get("STARTED") is None:
        raise ValueError("not the record of a run")
    values = {}
    for f in fields(Run):
        text = record.get(f.metadata.get("journal", ""))
        if text is not None:
            if not isinstance(text, str | int):  # python-systemd turns EXIT_STATUS into a number
                raise ValueError(f"{f.name}: not one text")
            values[f.name] = f.metadata["restore"](str(text))
    run = ended_from_json(values)
    return run if run.duration is None else replace(run, ended=run.started + run.duration)


def metrics(run: Run) -> list[tuple[str, str, float]]:
    """Name, explanation and value of each metric of the last run."""
    values = ((f.metadata, getattr(run, f.name)) for f in fields(run) if "metric" in f.metadata)
    return [(*row["metric"], value * row.get("metric_unit", 1)) for row, value in values if value is not None]
