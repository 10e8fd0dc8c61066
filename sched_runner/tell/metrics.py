"""The metrics file: the Prometheus text format, for the textfile collector of the node exporter.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Iterator
from typing import NamedTuple

from sched_runner import __version__, clock, words
from sched_runner.record import run_record
from sched_runner.record.outcome import Outcome
from sched_runner.record.state import State


class _Metric(NamedTuple):
    """One metric. We write the format ourselves: the official client library would cost 3.3 MiB of memory."""

    name: str
    kind: str
    text: str
    samples: list[tuple[dict[str, str], float | None]]


def render(name: str, state: State) -> str:
    """The file's text for the scheduler called ``name``, without the metrics that have no value yet."""
    return "".join(f"{line}\n" for metric in _metrics(state) for line in _lines(metric, name))


def _lines(metric: _Metric, scheduler: str) -> Iterator[str]:
    samples = [(labels, value) for labels, value in metric.samples if value is not None]
    if samples:
        yield f"# HELP main_scheduler_{metric.name} {metric.text}"
        yield f"# TYPE main_scheduler_{metric.name} {metric.kind}"
    for labels, value in samples:
        yield f"main_scheduler_{metric.name}{_labels(scheduler=scheduler, **labels)} {value!r}"


def _metrics(state: State) -> list[_Metric]:
    last = state.runs[-1] if state.runs else None
    begun = state.running or last
    by_outcome: list[tuple[dict[str, str], float | None]] = [
        ({"outcome": outcome.value}, state.outcomes.get(outcome.value, 0)) for outcome in Outcome
    ]
    return [
        _Metric("runs_total", "counter", "Runs that have ended, by outcome.", by_outcome),
        _plain("skipped_runs_total", "Due runs that were skipped because one was going.", state.skipped, "counter"),
        _plain("failures_in_a_row", "Failed runs since the last success.", state.failures_in_a_row),
        _plain("run_going", "1 while a run is going, else 0.", int(state.running is not None)),
        _plain("interval_seconds", "Time between two runs.", state.gap),
        _plain("timeout_seconds", "The longest time that a run may take.", state.timeout),
        _plain("last_start_timestamp_seconds", "When the last run began.", begun.started if begun else None),
        _plain("last_success_timestamp_seconds", "When the last run that succeeded ended.", state.last_success),
        _plain("last_failure_timestamp_seconds", "When the last run that failed ended.", state.last_failure),
        _plain("next_run_timestamp_seconds", "When the next run is due.", state.next_due),
        _plain("success_expected_timestamp_seconds", "Until when the next success is to come.", _expected(state)),
        *(_plain(*metric) for metric in (run_record.metrics(last) if last else ())),
        _Metric("build_info", "gauge", "The version of main-scheduler.", [({"version": __version__}, 1)]),
    ]


def _expected(state: State) -> float | None:
    """Until when the next success is to come if its run takes as long as a run may, in seconds since the epoch."""
    if state.expected_by is not None:
        return state.expected_by + (state.timeout or 0.0)
    if state.gap is None or state.fresh_boottime is None:
        return None
    fresh = clock.wall() - clock.boottime() + state.fresh_boottime
    return fresh + state.longest_wait()


def _plain(name: str, text: str, value: float | None, kind: str = "gauge") -> _Metric:
    return _Metric(name, kind, text, [({}, value)])


def _labels(**labels: str) -> str:
    return "{" + ",".join(f'{name}="{_quoted(value)}"' for name, value in labels.items()) + "}"


def _quoted(value: str) -> str:
    return words.printable(value).replace("\\", r"\\").replace('"', r"\"")
