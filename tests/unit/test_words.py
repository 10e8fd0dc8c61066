import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


def test_messages_name_local_times_with_their_zone():
    assert words.zoned_time(1_700_000_000.9) == "2023-11-14 23:13:20 CET"
    assert words.zoned_time(1_720_000_000.0) == "2024-07-03 11:46:40 CEST"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (1e-7, "0 s"),
        (1e-6, "0.000001 s"),
        (0.25, "0.25 s"),
        (10, "10 s"),
        (59.6, "59.6 s"),
        (59.9999999, "1 min"),
        (60.5, "1 min 0.5 s"),
        (65, "1 min 5 s"),
        (3600, "1 h"),
        (90061.5, "1 d 1 h 1 min 1.5 s"),
        (14400, "4 h"),
        (36525 * 86400, "36525 d"),
    ],
)
def test_an_exact_duration_has_all_its_units(seconds, said):
    assert words.exact_duration(seconds) == said


BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
ENDS_OF_LINES = "\u2028\u2029\x85"
DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
C0_AND_C1 = "".join(map(chr, [*range(9), *range(11, 32), *range(127, 160)]))


@pytest.mark.parametrize("char", BIDI + ENDS_OF_LINES + C0_AND_C1, ids=lambda char: f"U+{ord(char):04X}")
def test_what_a_terminal_or_a_reader_would_obey_is_shown_as_its_bytes(char):
    shown = "\\r" if char == "\r" else "".join(f"\\x{byte:02x}" for byte in char.encode())
    assert words.escape(f"a{char}b".encode()).decode() == f"a{shown}b"
    assert words.printable(f"a{char}b") == f"a{shown}b"


@pytest.mark.parametrize("text", ["grün 日本 🎉", "naïve café", "العربية", "עברית", "a\u200db", "£ ©", "\xa0", "…–“”"])
def test_text_of_any_language_is_shown_as_it_is(text):
    assert words.printable(text) == text
    assert words.escape(text.encode()) == text.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\nc", r"a\nb\r\nc"),
        ("a\tb", "a b"),
        ("lone \ud800 and \udcff", r"lone \ud800 and \udcff"),
        (7, "7"),
        (None, "None"),
        (b"\x1b", r"b'\x1b'"),
        ("x" * 500, "x" * 500),
        ("x" * 501, "x" * 499 + "…"),
        ("", ""),
    ],
)
def test_what_comes_from_outside_is_one_line_of_a_sensible_length(text, shown):
    assert words.printable(text) == shown


def test_text_of_several_lines_keeps_them():
    assert words.printable_lines("a\x1b\n\tb\u2028c\n" + "x" * 600).split("\n") == [
        r"a\x1b",
        r" b\xe2\x80\xa8c",
        "x" * 499 + "…",
    ]


@given(st.text() | st.text(alphabet=BIDI + ENDS_OF_LINES + C0_AND_C1 + "a\ud800\n\t"), st.integers(1, 40))
def test_whatever_comes_nothing_is_left_that_anything_would_obey(text, longest):
    shown = words.printable(text, longest)
    assert len(shown) <= longest
    assert len(shown.splitlines()) <= 1
    assert not {char for char in shown if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")}
    assert not {char for char in shown if unicodedata.bidirectional(char) in DIRECTIONS}
    assert words.printable_lines(shown) == shown


@pytest.mark.parametrize(("coloured", "wanted"), [(True, "\033[31mno\033[0m"), (False, "no")])
def test_a_colour_is_there_only_if_asked_for(coloured, wanted):
    assert words.painted("no", words.RED, coloured=coloured) == wanted
    assert words.painted("no", "", coloured=coloured) == "no"
