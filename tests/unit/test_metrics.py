"""The metrics file, read by the parser of the official client library."""

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sched_runner import __version__, clock
from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run
from sched_runner.record.state import State, from_json
from sched_runner.tell.metrics import render

RUN = Run(3, Outcome.FAILED, 1000.0, duration=2.5, cpu=0.25, peak_kib=2048)
STATE = State(
    gap=3600.0,
    next_due=4600.0,
    last_success=900.5,
    last_failure=1002.5,
    failures_in_a_row=2,
    skipped=4,
    outcomes={"succeeded": 7, "failed": 2},
    runs=[RUN],
)


def parse(text):
    """Samples by name and outcome, and the kinds of the metrics."""
    families = list(text_string_to_metric_families(text))
    samples = {
        (sample.name.removeprefix("main_scheduler_"), sample.labels.get("outcome")): sample.value
        for family in families
        for sample in family.samples
    }
    return samples, {family.name.removeprefix("main_scheduler_"): family.type for family in families}


def test_every_figure_is_what_the_state_says():
    samples, kinds = parse(render("main-scheduler", STATE))
    outcomes = {outcome: count for (name, outcome), count in samples.items() if name == "runs_total"}
    assert outcomes == {
        "succeeded": 7,
        "failed": 2,
        "killed": 0,
        "timed out": 0,
        "not started": 0,
        "interrupted": 0,
    }
    assert {name: value for (name, outcome), value in samples.items() if outcome is None} == {
        "skipped_runs_total": 4,
        "failures_in_a_row": 2,
        "run_going": 0,
        "interval_seconds": 3600,
        "last_start_timestamp_seconds": 1000,
        "last_success_timestamp_seconds": 900.5,
        "last_failure_timestamp_seconds": 1002.5,
        "next_run_timestamp_seconds": 4600,
        "last_run_duration_seconds": 2.5,
        "last_run_cpu_seconds": 0.25,
        "last_run_peak_memory_bytes": 2048 * 1024,
        "build_info": 1,
    }
    assert {name for name, kind in kinds.items() if kind == "counter"} == {"runs", "skipped_runs"}
    assert all(kind in ("counter", "gauge") for kind in kinds.values())


def test_a_run_that_is_going_is_the_last_start():
    samples, _ = parse(render("main-scheduler", replace(STATE, running=Run(4, started=2000.0))))
    assert samples["last_start_timestamp_seconds", None] == 2000
    assert samples["run_going", None] == 1


EXPECTED = "success_expected_timestamp_seconds", None


def test_a_success_is_expected_an_interval_and_a_time_out_after_the_last_or_after_the_start():
    fresh = clock.boottime() - 100
    samples, _ = parse(render("main-scheduler", replace(STATE, timeout=60.0, fresh_boottime=fresh)))
    assert samples["timeout_seconds", None] == 60
    assert samples[EXPECTED] == pytest.approx(clock.wall() - 100 + 3600 + 60, abs=2)


def test_with_a_calendar_a_success_is_expected_a_time_out_after_its_time():
    state = replace(STATE, gap=None, timeout=60.0, expected_by=5000.0, fresh_boottime=1.0)
    assert parse(render("main-scheduler", state))[0][EXPECTED] == 5060


def test_what_is_not_known_yet_is_left_out():
    samples, _ = parse(render("main-scheduler", State()))
    assert {name for name, _ in samples} == {
        "runs_total",
        "skipped_runs_total",
        "failures_in_a_row",
        "run_going",
        "build_info",
    }


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("main-scheduler@reports", "main-scheduler@reports"),
        ('a"b\\c', 'a"b\\c'),
        ("a\nb\x1b[2J\u202e", r"a\nb\x1b[2J\xe2\x80\xae"),
    ],
)
def test_every_sample_names_its_scheduler(name, shown):
    (build,) = [f for f in text_string_to_metric_families(render(name, STATE)) if f.name.endswith("build_info")]
    assert build.samples[0].labels == {"scheduler": shown, "version": __version__}
    families = text_string_to_metric_families(render(name, STATE))
    assert {sample.labels["scheduler"] for family in families for sample in family.samples} == {shown}


def test_no_state_that_is_read_breaks_a_line():
    text = 'x"} 1\nevil{a="b"} 1\n# HELP evil \\'
    run = {"number": 2**52, "outcome": "failed", "started": 0, "reason": text, "cpu": 1e-300, "peak_kib": 2**52}
    figures = {
        "gap": 6e9,
        "last_success": 253_370_764_800,
        "next_due": 0,
        "skipped": 2**52,
        "outcomes": {"failed": 2**52},
    }
    names = {"host": text, "every": text, "environment": text, "boot_id": text}
    rendered = render(text, from_json({"runs": [run], **figures, **names}))
    samples, _ = parse(rendered)
    assert "evil" not in {name for name, _ in samples}
    assert {line.split("{")[0].split(" ")[0] for line in rendered.splitlines()} - {"#"} == {
        f"main_scheduler_{name}" for name, _ in samples
    }
