"""The metrics file: the Prometheus text format, for the textfile collector of the node exporter.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from collections.abc import Iterator
from typing import Any

from sched_runner import __version__
from sched_runner.outcome import Outcome
from sched_runner.state import State

# Names, types and what is said of them; the official client library would cost 2.6 MiB of memory.
_METRICS = {
    "runs_total": ("counter", "Runs that have ended, by outcome."),
    "skipped_runs_total": ("counter", "Due runs that were skipped because one was going."),
    "failures_in_a_row": ("gauge", "Failed runs since the last success."),
    "interval_seconds": ("gauge", "Time between two runs."),
    "last_start_timestamp_seconds": ("gauge", "When the last run began."),
    "last_success_timestamp_seconds": ("gauge", "When the last run that succeeded ended."),
    "last_failure_timestamp_seconds": ("gauge", "When the last run that failed ended."),
    "next_run_timestamp_seconds": ("gauge", "When the next run is due."),
    "last_run_duration_seconds": ("gauge", "How long the last run took."),
    "last_run_cpu_seconds": ("gauge", "CPU time of the last run."),
    "last_run_peak_memory_bytes": ("gauge", "Peak resident memory of the largest process of the last run."),
    "build_info": ("gauge", "The version of main-scheduler."),
}


def render(name: str, state: State) -> str:
    """The file's text for the scheduler called ``name``; what is not known yet is left out."""
    values = _values(state)
    lines = []
    for metric, (kind, text) in _METRICS.items():
        samples = [(labels, value) for labels, value in values.get(metric, ()) if value is not None]
        if samples:
            lines += [f"# HELP main_scheduler_{metric} {text}", f"# TYPE main_scheduler_{metric} {kind}"]
        for labels, value in samples:
            lines.append(f"main_scheduler_{metric}{_labels(scheduler=name, **labels)} {value!r}")
    return "".join(f"{line}\n" for line in lines)


def _values(state: State) -> dict[str, list[tuple[dict[str, str], Any]]]:
    last: dict[str, Any] = state.runs[-1] if state.runs else {}
    started = state.running["started"] if state.running else last.get("started")
    plain = {
        "skipped_runs_total": state.skipped,
        "failures_in_a_row": state.failures_in_a_row,
        "interval_seconds": state.interval,
        "last_start_timestamp_seconds": started,
        "last_success_timestamp_seconds": state.last_success,
        "last_failure_timestamp_seconds": state.last_failure,
        "next_run_timestamp_seconds": state.next_due,
        "last_run_duration_seconds": last.get("duration"),
        "last_run_cpu_seconds": last.get("cpu"),
        "last_run_peak_memory_bytes": last["peak_kib"] * 1024 if "peak_kib" in last else None,
    }
    return {
        "runs_total": [({"outcome": o.value}, state.outcomes.get(o.value, 0)) for o in Outcome],
        "build_info": [({"version": __version__}, 1)],
        **{metric: [({}, value)] for metric, value in plain.items()},
    }


def _labels(**labels: str) -> str:
    return "{" + ",".join(_quoted(labels)) + "}"


def _quoted(labels: dict[str, str]) -> Iterator[str]:
    for name, value in labels.items():
        text = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
        yield f'{name}="{text}"'
