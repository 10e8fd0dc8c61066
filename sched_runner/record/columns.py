"""Strict parsers of records in files and in the journal, where anybody may have put anything."""

from collections.abc import Callable, Mapping
from dataclasses import field, fields
from typing import Any, TypeVar

T = TypeVar("T")
Parse = Callable[[Any], Any]

_LATEST = 253_370_764_800.0  # the year 9999, in seconds since the epoch, in which Python's dates end
_EARLIEST = -62_135_510_400.0  # the second day of the year 1, in which Python's dates begin
_MOST_COUNTED = 2**52
_LONGEST = 36525 * 86400.0 * 2


def column(parse: Parse, default: Any, **metadata: Any) -> Any:
    """A field of a record: ``parse`` gives its value back from JSON, or raises ValueError."""
    if callable(default):
        return field(default_factory=default, metadata={"parse": parse, **metadata})
    return field(default=default, metadata={"parse": parse, **metadata})


def read(record_type: type[T], values: Any) -> T:
    """The record in a JSON object; names that ``record_type`` lacks are skipped. Raises ValueError."""
    if not isinstance(values, Mapping):
        raise ValueError("not a JSON object")
    known = {f.name: f.metadata["parse"] for f in fields(record_type)}  # type: ignore[arg-type]
    found = {}
    for name in known.keys() & values.keys():
        try:
            found[name] = known[name](values[name])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return record_type(**found)


def read_or_new(record_type: type[T], values: Any) -> T:
    """The record in a JSON object, or a new one if the object is faulty: main.py may have put anything there."""
    try:
        return read(record_type, values)
    except ValueError:
        return record_type()


def integer(value: Any) -> int:
    """A whole number from 0 on."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2 * _MOST_COUNTED:
        raise ValueError("not a whole number")
    return value


def counter(value: Any) -> int:
    """A whole number from 0 on, cut to 2**52, so that a count can still grow and be read again."""
    return min(integer(value), _MOST_COUNTED)


def moment(value: Any) -> float:
    """Seconds since the epoch, or since boot."""
    return _number(value, 0.0, _LATEST)


def due_moment(value: Any) -> float:
    """The same, or before: the last due time of a calendar may lie before the boot, and before the epoch."""
    return _number(value, _EARLIEST, _LATEST)


def length(value: Any) -> float:
    """A length of time in seconds."""
    return _number(value, 0.0, _LONGEST)


def _number(value: Any, least: float, most: float) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not least <= value <= most:  # true also of NaN, and of what no float can hold
        raise ValueError("not a number in its range")
    return float(value)


def text(value: Any) -> str:
    """A text of at most 64 KiB."""
    if not isinstance(value, str) or len(value) > 65536:
        raise ValueError("not a text")
    return value


def flag(value: Any) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def optional(parse: Parse) -> Parse:
    """A parser that takes what ``parse`` takes, and None."""
    return lambda value: None if value is None else parse(value)


def list_of(parse: Parse, longest: int) -> Parse:
    """A parser of a list, of which the last ``longest`` items are kept."""

    def parsed(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValueError("not a list")
        return [parse(item) for item in value[-longest:]]

    return parsed
