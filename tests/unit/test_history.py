from dataclasses import replace
from datetime import datetime

import pytest

from sched_runner.record import history, messages, run_record
from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run

STARTED = 1_700_000_000.0


def ended(number, outcome=Outcome.SUCCEEDED, duration=1.0, **more):
    started = STARTED + number * 60
    return Run(number, outcome, started, ended=started + duration, duration=duration, **more)


def record(run):
    """As the journal gives it back: text, but for the field that python-systemd takes for a number."""
    fields = messages.of_run(run)["fields"]
    return {name: value if name == "EXIT_STATUS" else str(value) for name, value in fields.items() if value is not None}


ENDINGS = [
    ended(1, cpu=0.25, peak_kib=2048, exit_status=0),
    ended(2, Outcome.FAILED, exit_status=3, reason="ValueError: no"),
    ended(3, Outcome.KILLED, signal=9),
    ended(4, Outcome.TIMED_OUT, signal=15),
    ended(5, Outcome.NOT_STARTED, 0.0, reason="no such file"),
    ended(6, Outcome.INTERRUPTED, 0.0),
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_run_comes_back_from_the_journal_as_state_json_has_it(ending):
    assert run_record.from_journal(record(ending)) == ending


@pytest.mark.parametrize(
    "damage",
    [
        {"RUN": "x"},
        {"RUN": None},
        {"STARTED": ""},
        {"STARTED": None},
        {"OUTCOME": "won"},
        {"OUTCOME": None},
        {"OUTCOME": ["failed", "succeeded"]},
        {"REASON": b"\xff"},
        {"SIGNAL": "signal 99999"},
        {"DURATION_SEC": "1e400"},
        {"STARTED": "nan"},
    ],
)
def test_a_record_of_something_else_is_left_out(damage):
    assert history.runs([record(ENDINGS[0]) | damage, record(ENDINGS[1])], [], 0.0, failed=False) == ENDINGS[1:2]


def numbers(journal=(), kept=(), since=0.0, failed=False):
    found = history.runs(map(record, journal), kept, since, failed=failed)
    return [run.number for run in found]


def test_runs_of_the_journal_and_of_state_json_are_each_there_once_in_order():
    assert numbers(ENDINGS[3:], ENDINGS[:5]) == [1, 2, 3, 4, 5, 6]


def test_a_run_that_both_know_is_as_state_json_has_it():
    exact = replace(ENDINGS[0], started_boottime=5.0, ended=ENDINGS[0].ended + 3600.0)
    assert history.runs([record(exact)], [exact], 0.0, failed=False) == [exact]


def test_a_run_is_there_once_however_its_start_is_rounded_in_the_journal():
    ending = replace(ENDINGS[0], started=STARTED + 1.49996)
    assert len(history.runs([record(ending)], [ending], 0.0, failed=False)) == 1


@pytest.mark.parametrize("apart", [0.002, 0.04, 60.0])
def test_two_runs_with_one_number_are_two_however_near_they_began(apart):
    other = replace(ENDINGS[0], started=ENDINGS[0].started + apart)
    assert numbers([other], ENDINGS[:1]) == [1, 1]


def test_where_there_is_no_journal_state_json_is_enough():
    assert numbers((), ENDINGS) == [1, 2, 3, 4, 5, 6]


def test_runs_of_an_earlier_life_with_the_same_numbers_are_others():
    assert numbers([Run(1, Outcome.SUCCEEDED, 1000.0, duration=1.0)], ENDINGS[:1]) == [1, 1]


def test_failed_are_those_that_count_as_failures():
    assert numbers((), ENDINGS, failed=True) == [2, 3, 4, 5]


def test_since_counts_the_end_of_a_run():
    assert numbers((), ENDINGS, since=STARTED + 180.5) == [3, 4, 5, 6]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2h", STARTED - 7200),
        ("7d 12h", STARTED - 648000),
        ("2023-11-14", datetime(2023, 11, 14).timestamp()),
        ("2023-11-14 08:30", datetime(2023, 11, 14, 8, 30).timestamp()),
        ("2023-11-14T08:30:00+01:00", datetime.fromisoformat("2023-11-14T08:30:00+01:00").timestamp()),
    ],
)
def test_since_is_a_time_or_a_span(text, wanted):
    assert history.parse_since(text, STARTED) == wanted


@pytest.mark.parametrize("text", ["last week", "", "0001-01-01", "9" * 400, "2023-13-01", "1h30"])
def test_a_since_that_is_neither_says_what_to_write(text):
    with pytest.raises(ValueError, match="use a date"):
        history.parse_since(text, STARTED)


def test_a_since_before_all_time_means_from_the_beginning():
    assert history.parse_since("100y", STARTED) == 0.0
    assert history.parse_since("1900-01-01", STARTED) == 0.0


def test_what_main_py_wrote_into_the_journal_can_be_shown():
    text = "no\x1b[2J\u202e\u2028" + "x" * 10_000
    found = history.text([ended(1, Outcome.FAILED, reason=text)], coloured=False, barred=True)
    assert all(line.isprintable() and len(line) < 700 for line in found.split("\n"))


@pytest.fixture(autouse=True)
def _clock_time(monkeypatch):
    monkeypatch.setattr("sched_runner.words.clock_time", lambda when: f"{'@' + str(int(when - STARTED)):19}")


def lines(endings, coloured=False, barred=False):
    found = history.text(endings, coloured=coloured, barred=barred)
    return [line.split() for line in found.splitlines()]


def test_each_run_has_a_line_with_what_it_took_and_the_error():
    assert lines(ENDINGS[:4]) == [
        ["run", "started", "outcome", "duration", "CPU", "memory"],
        ["1", "@60", "✓", "succeeded", "1", "s", "0.25", "s", "2.0", "MiB"],
        ["2", "@120", "✗", "failed", "1", "s", "0", "s", "0.0", "MiB", "ValueError:", "no"],
        ["3", "@180", "✗", "killed", "1", "s", "0", "s", "0.0", "MiB", "SIGKILL"],
        ["4", "@240", "✗", "timed", "out", "1", "s", "0", "s", "0.0", "MiB", "SIGTERM"],
    ]


def test_a_run_whose_end_nobody_saw_has_no_duration():
    lost = replace(ENDINGS[5], ended=None, duration=None)
    assert history.runs([record(lost)], [], STARTED, failed=False) == [lost]
    assert [line[4] for line in lines([lost, ENDINGS[0]])[1:]] == ["?", "1"]
    assert [line[4:7] for line in lines([lost], barred=True)[1:]] == [["?", "0", "s"]], "and no bar"


def test_durations_are_bars_of_the_longest():
    found = lines([ended(1, duration=10.0), ended(2, duration=5.0), ended(3, duration=0.55)], barred=True)
    assert [line[6] for line in found[1:]] == ["█" * 20, "█" * 10, "█▏"]


def test_columns_stand_below_their_titles():
    for barred in (False, True):
        title, line, *_ = history.text(ENDINGS[:1], coloured=False, barred=barred).splitlines()
        assert title.index("CPU") == line.index("0.25 s")
        assert title.index("memory") == line.index("2.0 MiB")
        assert title.index("outcome") == line.index("succeeded")
        assert title.index("started") == line.index("@60")


def test_colours_are_there_only_where_asked_for():
    assert "\033" not in history.text(ENDINGS[1:2], coloured=False, barred=True)
    assert "\033[31m✗" in history.text(ENDINGS[1:2], coloured=True, barred=True)


def test_before_the_first_run_it_says_so():
    assert history.text([], coloured=False, barred=False) == "no run has ended yet"
