import math
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sched_runner import words
from sched_runner.record import columns
from sched_runner.record.columns import column

CENTURY = 36525 * 86400.0


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


# Nothing takes these. JSON as Python reads it has NaN, Infinity, and whole numbers that no float can hold.
POISON = [math.nan, math.inf, -math.inf, -1, -0.5, -1e300, 1e30, 1e308, 10**400, -(10**400), nested(500), {}, {"a": 1}]
NO_NUMBER = [None, True, False, "", "7", "NaN", [], [7], b"7", 7j]


@pytest.mark.parametrize("parse", [columns.integer, columns.moment, columns.length])
@pytest.mark.parametrize("value", [*POISON, *NO_NUMBER], ids=lambda value: repr(value)[:20])
def test_what_is_no_number_in_its_range_is_refused(parse, value):
    with pytest.raises(ValueError, match="not a "):
        parse(value)


@pytest.mark.parametrize(
    ("parse", "value", "wanted"),
    [
        (columns.integer, 0, 0),
        (columns.integer, 2**53 - 1, 2**53 - 1),
        (columns.moment, 0, 0.0),
        (columns.moment, 1_700_000_000, 1_700_000_000.0),
        (columns.moment, 253_370_764_800.0, 253_370_764_800.0),
        (columns.length, 0.5, 0.5),
        (columns.length, 2 * CENTURY, 2 * CENTURY),
        (columns.text, "", ""),
        (columns.text, "\x1b\ud800\u202e", "\x1b\ud800\u202e"),
        (columns.text, "x" * 65536, "x" * 65536),
        (columns.flag, False, False),
        (columns.optional(columns.moment), None, None),
        (columns.optional(columns.moment), 1, 1.0),
        (columns.list_of(columns.integer, 3), [], []),
        (columns.list_of(columns.integer, 3), [1, 2, 3, 4], [2, 3, 4]),
    ],
)
def test_what_is_in_its_range_is_taken(parse, value, wanted):
    found = parse(value)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize(
    ("parse", "value"),
    [
        (columns.integer, 2**53),
        (columns.integer, 7.0),
        (columns.moment, 253_370_764_801.0),
        (columns.length, 2 * CENTURY + 1),
        (columns.text, "x" * 65537),
        *((columns.text, value) for value in (None, 7, True, [], {}, b"text", nested(500))),
        *((columns.flag, value) for value in (None, 0, 1, "true", [], {})),
        *((columns.optional(columns.moment), value) for value in ("", False, [None], math.nan)),
        *((columns.list_of(columns.integer, 3), value) for value in (None, "12", {}, (1, 2), [None], [1, [2]], [True])),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_something_else_is_refused(parse, value):
    with pytest.raises(ValueError, match=r"not a|neither"):
        parse(value)


@pytest.mark.parametrize("when", [0.0, 253_370_764_800.0])
def test_every_moment_has_a_date(when):
    assert words.timestamp(columns.moment(when))
    assert words.zoned_time(columns.moment(when))


@dataclass
class Record:
    number: int = column(columns.integer, 7)
    names: list[str] = column(columns.list_of(columns.text, 2), list)


def test_a_record_takes_what_it_knows_has_defaults_for_the_rest_and_skips_other_names():
    assert columns.read(Record, {}) == Record(7, [])
    assert columns.read(Record, {"names": ["a"], "mood": nested(500), "": None, "number ": "x"}) == Record(7, ["a"])


@pytest.mark.parametrize("values", [None, [], "{}", 7, True, [["number", 1]]])
def test_a_record_is_a_json_object(values):
    with pytest.raises(ValueError, match="not a JSON object"):
        columns.read(Record, values)


def test_what_is_wrong_with_a_record_names_the_field():
    with pytest.raises(ValueError, match=r"^names: not a text$"):
        columns.read(Record, {"number": 1, "names": [7]})


def test_records_share_no_default():
    columns.read(Record, {}).names.append("a")
    assert columns.read(Record, {}).names == []


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
PARSERS = [
    columns.integer,
    columns.moment,
    columns.length,
    columns.text,
    columns.flag,
    columns.optional(columns.length),
    columns.list_of(columns.moment, 2),
]


@settings(max_examples=100)
@given(ANYTHING)
def test_whatever_stands_there_a_parser_gives_what_it_takes_itself_or_raises_value_error(value):
    for parse in PARSERS:
        try:
            found = parse(value)
        except ValueError:
            continue
        assert parse(found) == found
