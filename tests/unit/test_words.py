import time

import pytest

from sched_runner import words


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (0.004, "0 s"),
        (0.25, "0.25 s"),
        (1.5, "1.5 s"),
        (2.0, "2 s"),
        (9.999, "10 s"),
        (10, "10 s"),
        (59.4, "59 s"),
        (59.5, "1 min"),
        (65, "1 min 5 s"),
        (3599.9, "1 h"),
        (3600, "1 h"),
        (5400, "1 h 30 min"),
        (86399.9, "1 d"),
        (90061, "1 d 1 h"),
        (1_000_000, "11 d 13 h"),
    ],
)
def test_a_duration_is_said_in_its_two_largest_units(seconds, said):
    assert words.duration(seconds) == said


def test_a_size_is_said_in_mebibytes():
    assert words.size(23962) == "23.4 MiB"


@pytest.mark.parametrize(("number", "said"), [(0, "0 lines"), (1, "1 line"), (2, "2 lines")])
def test_only_one_is_singular(number, said):
    assert words.count(number, "line") == said


@pytest.mark.parametrize(
    ("when", "said"),
    [
        (1_700_000_000.1239, "2023-11-14T23:13:20.123+01:00"),
        (1_720_000_000.0, "2024-07-03T11:46:40.000+02:00"),
        # The hour that comes twice.
        (1_729_988_999.0, "2024-10-27T02:29:59.000+02:00"),
        (1_729_992_599.0, "2024-10-27T02:29:59.000+01:00"),
    ],
)
def test_a_timestamp_has_the_offset_of_its_season(when, said):
    assert words.timestamp(when) == said


def test_messages_name_local_times():
    assert words.clock_time(1_700_000_000.9) == "2023-11-14 23:13:20"
