import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sched_runner import words
from sched_runner.settings.spans import parse_interval, parse_span, parse_timeout


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        # The examples of systemd.time(7).
        ("2 h", 7200),
        ("2hours", 7200),
        ("48hr", 172800),
        ("1y 12month", 63115200),
        ("55s500ms", 55.5),
        ("300ms20s 5day", 432020.3),
        # Those of the README, and each unit's shortest name.
        ("30min", 1800),
        ("2h", 7200),
        ("1d", 86400),
        ("7h 30min", 27000),
        ("7h30m", 27000),
        ("1w", 604800),
        ("1month", 2629800),
        ("1m", 60),
        ("200000us", 0.2),
        ("200000µs", 0.2),
        # The shortest and the longest.
        ("100ms", 0.1),
        ("100y", 36525 * 86400),
        # A bare number is seconds.
        ("90", 90),
        ("1.5h", 5400),
        ("  10  s  ", 10),
    ],
)
def test_a_span_of_time_means_what_it_means_to_systemd(text, seconds):
    assert parse_interval(text) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ('{"minutes": 1}', 60),
        ('{"hours": 7, "minutes": 30}', 27000),
        ('{"days": 1, "hours": 2, "minutes": 3, "seconds": 4}', 93784),
        ('{"hours": 0.5}', 1800),
        ('{"weeks": 1}', 604800),
        (' {"seconds": 90} ', 90),
        # As Python writes it.
        ("{'hours': 7, 'minutes': 30}", 27000),
        ("{'hours': 7, }", 25200),
        (" {'seconds': 90}\t", 90),
        ('{"hours": 0, "seconds": 1}', 1),
    ],
)
def test_a_mapping_means_what_it_means_to_the_trigger(text, seconds):
    assert parse_interval(text) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("soon", "not a time span"),
        (" ", "not a time span"),
        ("-5min", "not a time span"),
        ("7:30", "a number lacks its unit"),
        ("min", "not a time span"),
        ("1.2.3s", "a number lacks its unit"),
        ("5min, 3s", "not a time span"),
        ("infinity", "not a time span"),
        ("[1]", "not a time span"),
        ("5 parsecs", "no such unit of time: parsecs"),
        ("5MIN", "no such unit of time: MIN"),
        ("0", "between 0.1 s and 100 years"),
        ("99ms", "between 0.1 s and 100 years"),
        ("101y", "longer than 100 years"),
        ("9" * 400, "longer than 100 years"),
        ("{}", "between 0.1 s and 100 years"),
        ("1h30", "write 1h 30min and not 1h30"),
        ("30 1h", "a number lacks its unit"),
        ("1h 30", "a number lacks its unit"),
        ("1M", "write month or min"),
        ("5M", "write month or min"),
        ('{"hours": 7', "not a mapping"),
        ("{'hours': 7", "not a mapping"),
        ("{hours: 7}", "not a mapping"),
        ("{7}", "not a mapping"),
        ("{'hours': 7} or 8", "not a mapping"),
        ("{'hours': __import__('os')}", "not a mapping"),
        ("{[]: 7}", "not a mapping"),
        ("{'hours': 7j}", "hours must be a number"),
        ("{'hours': True}", "hours must be a number"),
        ('{"hours": ' * 50_000, "not a mapping"),
        ("{'hours': " * 50_000, "not a mapping"),
        ('{"hours": ' + "[" * 50_000, "not a mapping"),
        ('{"hour": 7}', "no such keyword: hour"),
        ('{"months": 1}', "no such keyword: months"),
        ('{"hours": "7"}', "hours must be a number"),
        ('{"hours": true}', "hours must be a number"),
        ('{"hours": null}', "hours must be a number"),
        ('{"hours": [7]}', "hours must be a number"),
        ('{"hours": -7}', "not negative"),
        ('{"hours": NaN}', "not negative"),
        ('{"hours": 1e999}', "not negative"),
        ('{"hours": 1e300}', "between 0.1 s and 100 years"),
        ('{"hours": %s}' % ("9" * 400), "between 0.1 s and 100 years"),
    ],
)
def test_what_is_no_interval_is_refused_with_the_reason(text, why):
    with pytest.raises(ValueError, match=re.escape(why)):
        parse_interval(text)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0.0), ("1us", 1e-6), ("0h 0s", 0.0)])
def test_a_span_that_is_no_interval_may_be_as_short_as_it_likes(text, seconds):
    assert parse_span(text) == seconds


@pytest.mark.parametrize("text", ["0", "0h 0s"])
def test_a_time_out_is_more_than_nothing(text):
    with pytest.raises(ValueError, match="more than 0 s"):
        parse_timeout(text)


@given(st.floats(0, 3_000_000_000))
def test_a_length_of_time_as_it_is_shown_exactly_is_read_back(seconds):
    assert parse_span(words.exact_duration(seconds)) == pytest.approx(seconds, rel=1e-12, abs=5.1e-7)


@given(st.text(alphabet="{}[]()'\"hours: 7.-+eEMN,\x1b\u202e٣", max_size=20) | st.text(max_size=12))
def test_whatever_is_written_is_an_interval_or_is_refused(text):
    with suppress(ValueError):
        assert 0.1 <= parse_interval(text) <= 36525 * 86400
