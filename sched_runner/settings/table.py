"""The settings: one row for each, and ``load``, which finds every fault at once."""

import difflib
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from sched_runner import words
from sched_runner.settings import calendars, crontab, spans
from sched_runner.settings.places import Place

# How often a run is due by default, in the keywords of APScheduler's IntervalTrigger: days, hours, minutes, seconds.
INTERVALS: dict[str, dict[str, float]] = {
    "test": {"minutes": 1},
    "prod": {"hours": 4},
}

# An address without a name, quotes or a comment (RFC 5321, 4.1.2), or a user of this host.
_ATOM, _LABEL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+", r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"{_ATOM}(\.{_ATOM})*(@{_LABEL}(\.{_LABEL})*)?")

# main.py gets these from the scheduler; a scheduler that main.py starts gets them too.
_GIVEN_TO_MAIN = ("SCHED_RUN", "SCHED_ATTEMPT")

# The address of a ping may hold these names in braces; the scheduler replaces them with their values.
PLACEHOLDERS = ("status", "message", "duration_ms")
PLACEHOLDER = re.compile(rf"\{{({'|'.join(PLACEHOLDERS)})\}}")

_BEGINNING = "SCHED_"
_DIGITS = 6
_STATUSES = 256


class Row(NamedTuple):
    """One setting: its name, the parser of its value, its default, and the function that shows the value.

    ``default`` may be a function of the place. If ``is_secret``, a fault does not repeat the value.
    """

    name: str
    parse: Callable[[str], Any]
    default: Any
    show: Callable[[Any], str]
    is_secret: bool


def _row(
    name: str,
    parse: Callable[[str], Any],
    default: Any,
    show: Callable[[Any], str] = str,
    *,
    is_secret: bool = False,
) -> Any:
    return field(metadata={"row": Row(name, parse, default, show, is_secret)})


def _parse_start(text: str) -> str:
    if text not in ("now", "resume", "due"):
        raise ValueError("use now, resume or due")
    return text


def _parse_interval(text: str) -> float:
    try:
        return spans.parse_interval(text)
    except ValueError as error:
        raise ValueError(crontab.calendar_hint(text) or error) from None


def parse_args(text: str) -> tuple[str, ...]:
    """The words in ``text``, which is quoted as for a shell. Raises ValueError."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"quoted wrongly: {error}") from None


def _parse_addresses(text: str) -> tuple[str, ...]:
    addresses = tuple(address.strip(" ") for address in text.split(","))
    if not all(map(_ADDRESS.fullmatch, addresses)):
        raise ValueError("use addresses like you@example.org, separated by commas, in ASCII and without names")
    return addresses


def _parse_absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _parse_number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS):
        raise ValueError("use a whole number")
    return int(text)


def _parse_count(text: str) -> int:
    if (number := _parse_number(text)) == 0:
        raise ValueError("use a whole number, 1 or more")
    return number


def _parse_statuses(text: str) -> frozenset[int]:
    statuses = frozenset(_parse_number(word) for word in text.replace(",", " ").split())
    if not statuses <= set(range(_STATUSES)):
        raise ValueError("use exit statuses from 0 to 255, separated by spaces")
    return statuses | {0}


def _shown_statuses(statuses: frozenset[int]) -> str:
    return " ".join(map(str, sorted(statuses)))


def parse_url(text: str) -> str:
    """An address of http or https, perhaps with placeholders. Raises ValueError; its message omits the address."""
    fault = "use an address like https://hc-ping.com/your-uuid"
    try:
        parts = urlsplit(text)
        is_good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        (parts.hostname or "").encode("idna")  # refuses a name that DNS cannot hold
    except ValueError:
        raise ValueError(fault) from None
    if not is_good or not text.isprintable() or " " in text:
        raise ValueError(fault)
    rest = PLACEHOLDER.sub("", f"{parts.path}?{parts.query}")
    if set("{}") & {*parts.netloc, *parts.fragment, *rest}:
        names = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        raise ValueError(f"use braces only after the host, and only for one of these: {names}")
    return text


def _shown_workdir(path: Path | None) -> str:
    return str(path or "the script's own directory")


def _masked_command(command: Sequence[str]) -> str:
    hidden = " …" if len(command) > 1 else ""  # an argument may hold a token
    return f"{shlex.join(command[:1])}{hidden}"


def _masked_url(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/…" if url else ""  # without user and password


@dataclass(frozen=True)
class Settings:
    """The settings of one scheduler; lengths of time are in seconds."""

    environment: str = _row("SCHED_ENV", str, "test")
    interval: float = _row("SCHED_INTERVAL", _parse_interval, 0.0, words.exact_duration)
    calendar: tuple[str, ...] = _row("SCHED_CALENDAR", calendars.parse_calendar, (), "; ".join)
    main: Path = _row("SCHED_MAIN", Path, lambda place: place.main)
    args: tuple[str, ...] = _row("SCHED_ARGS", parse_args, (), shlex.join, is_secret=True)
    python: str = _row("SCHED_PYTHON", str, "", lambda python: python or "as the script says, or the scheduler's own")
    workdir: Path | None = _row("SCHED_WORKDIR", _parse_absolute, lambda place: place.workdir, _shown_workdir)
    start: str = _row("SCHED_START", _parse_start, "now")
    timeout: float = _row("SCHED_TIMEOUT", spans.parse_timeout, 3600.0, words.exact_duration)
    stop_grace: float = _row("SCHED_STOP_GRACE", spans.parse_span, 10.0, words.exact_duration)
    success_status: frozenset[int] = _row("SCHED_SUCCESS_STATUS", _parse_statuses, frozenset({0}), _shown_statuses)
    retries: int = _row("SCHED_RETRIES", _parse_number, 0)
    retry_after: float = _row("SCHED_RETRY_AFTER", spans.parse_wait, 60.0, words.exact_duration)
    log_dir: Path = _row("SCHED_LOG_DIR", _parse_absolute, lambda place: place.log_dir)
    state_dir: Path = _row("SCHED_STATE_DIR", _parse_absolute, lambda place: place.state_dir)
    alert_after: int = _row("SCHED_ALERT_AFTER", _parse_count, 1)
    alert_mail: tuple[str, ...] = _row("SCHED_ALERT_MAIL", _parse_addresses, (), ", ".join)
    alert_command: tuple[str, ...] = _row("SCHED_ALERT_COMMAND", parse_args, (), _masked_command, is_secret=True)
    ping_url: str = _row("SCHED_PING_URL", parse_url, "", _masked_url, is_secret=True)
    metrics_file: Path | None = _row("SCHED_METRICS_FILE", _parse_absolute, None, lambda path: str(path or ""))


ROWS: dict[str, Row] = {field.name: field.metadata["row"] for field in fields(Settings)}
NAMES = tuple(row.name for row in ROWS.values())


class SettingsError(Exception):
    """The settings are faulty; ``faults`` holds a sentence for each fault."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def load(environ: Mapping[str, str], place: Place) -> tuple[Settings, list[str]]:
    """The settings in ``environ``, and a sentence for each fault.

    A setting that is faulty, or that ``environ`` lacks, has its default, which may depend on ``place``.
    """
    values, found = _values(environ, place)
    settings = _completed(Settings(**values), place)
    if environ.get("SCHED_INTERVAL") and environ.get("SCHED_CALENDAR"):
        found.append("SCHED_INTERVAL and SCHED_CALENDAR both say when a run is due; set one of them")
    environment = environ.get("SCHED_ENV", settings.environment)  # an empty SCHED_ENV is not the default
    if environment not in INTERVALS and not (environ.get("SCHED_INTERVAL") or environ.get("SCHED_CALENDAR")):
        found.append(_unknown_environment(environment))
    known = (*NAMES, *_GIVEN_TO_MAIN)
    found += [
        f"{words.printable(name)}: no such setting{_nearest(name, NAMES, _BEGINNING)}"
        for name in sorted(environ)
        if name.startswith(_BEGINNING) and name not in known
    ]
    return settings, found


def _values(environ: Mapping[str, str], place: Place) -> tuple[dict[str, Any], list[str]]:
    values, faults = {}, []
    for attribute, row in ROWS.items():
        values[attribute] = row.default(place) if callable(row.default) else row.default
        if text := environ.get(row.name):
            try:
                values[attribute] = row.parse(text)
            except ValueError as error:
                shown = "" if row.is_secret else f"={words.printable(text)}"
                faults.append(f"{row.name}{shown}: {error}")
    return values, faults


def _completed(settings: Settings, place: Place) -> Settings:
    """Fill in the interval that SCHED_ENV means, and resolve relative paths of main.py and of Python."""
    main = place.main.parent / settings.main
    python = str(main.parent / settings.python) if "/" in settings.python else settings.python
    of_environment = timedelta(**INTERVALS.get(settings.environment, INTERVALS["test"])).total_seconds()
    return replace(settings, main=main, python=python, interval=settings.interval or of_environment)


def _unknown_environment(environment: str) -> str:
    """The fault of an unknown SCHED_ENV: after a typo in ``prod``, main.py must not run every minute."""
    return (
        f"SCHED_ENV={words.printable(environment)}: no such environment{_nearest(environment, INTERVALS)}; "
        f"use {' or '.join(INTERVALS)}, or set SCHED_INTERVAL or SCHED_CALENDAR"
    )


def _nearest(name: str, known: Iterable[str], beginning: str = "") -> str:
    """A question with the known name that is nearest; the ``beginning`` that all have makes none of them nearer."""
    without = [each.removeprefix(beginning) for each in known]
    near = difflib.get_close_matches(name.removeprefix(beginning), without, n=1)
    return f" (did you mean {beginning}{near[0]}?)" if near else ""


def shown(settings: Settings) -> dict[str, str]:
    """Every setting with its value in words, which may be empty. A ping's address and an alert's command are masked."""
    return {row.name: words.printable(row.show(getattr(settings, attribute))) for attribute, row in ROWS.items()}
