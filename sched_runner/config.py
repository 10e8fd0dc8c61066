"""The settings: their table, their defaults, and ``load``, which finds every fault at once."""

import difflib
import json
import math
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

# How often, in the keywords of APScheduler's IntervalTrigger: days, hours, minutes, seconds.
INTERVALS: dict[str, dict[str, float]] = {
    "test": {"minutes": 1},
    "prod": {"hours": 4},
}

NAMES = (
    "SCHED_ENV",
    "SCHED_INTERVAL",
    "SCHED_MAIN",
    "SCHED_ARGS",
    "SCHED_PYTHON",
    "SCHED_START",
    "SCHED_TIMEOUT",
    "SCHED_STOP_GRACE",
    "SCHED_LOG_DIR",
    "SCHED_STATE_DIR",
    "SCHED_ALERT_AFTER",
    "SCHED_ALERT_MAIL",
    "SCHED_ALERT_COMMAND",
    "SCHED_PING_URL",
    "SCHED_METRICS_FILE",
)
_GIVEN_TO_MAIN = "SCHED_RUN"

# Of an interval, in seconds, and of any span of time.
_SHORTEST = 0.1
_LONGEST = 36525 * 86400.0

# The units of systemd.time(7), in seconds.
_UNITS = {
    **dict.fromkeys(("usec", "us", "µs", "μs"), 1e-6),
    **dict.fromkeys(("msec", "ms"), 1e-3),
    **dict.fromkeys(("seconds", "second", "sec", "s", ""), 1.0),
    **dict.fromkeys(("minutes", "minute", "min", "m"), 60.0),
    **dict.fromkeys(("hours", "hour", "hr", "h"), 3600.0),
    **dict.fromkeys(("days", "day", "d"), 86400.0),
    **dict.fromkeys(("weeks", "week", "w"), 604800.0),
    **dict.fromkeys(("months", "month", "M"), 2629800.0),
    **dict.fromkeys(("years", "year", "y"), 31557600.0),
}
_SPAN_PART = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Zµμ]*)")
_KEYWORDS = ("weeks", "days", "hours", "minutes", "seconds")

T = TypeVar("T")
D = TypeVar("D")


@dataclass(frozen=True)
class Place:
    """Where a scheduler keeps its things: an installed service, an instance of it, or this directory."""

    name: str
    env_file: Path | None
    main: Path
    log_dir: Path
    state_dir: Path


def installed(instance: str = "", root: Path = Path("/")) -> Place:
    """The place of the installed service, or of one of its instances."""
    name = f"main-scheduler@{instance}" if instance else "main-scheduler"
    return Place(
        name=name,
        env_file=root / "etc/default" / name,
        main=root / "opt/main-scheduler" / instance / "main.py",
        log_dir=root / "var/log" / name,
        state_dir=root / "var/lib" / name,
    )


def is_installed() -> bool:
    """Whether this host has the service."""
    env_file = installed().env_file
    return env_file is not None and env_file.exists()


def here(directory: Path) -> Place:
    """The place of a scheduler started by hand in ``directory``."""
    own = directory / "scheduler"
    return Place("main-scheduler", None, directory / "main.py", own, own)


@dataclass(frozen=True)
class Settings:
    """The settings of one scheduler; ``timeout`` and ``stop_grace`` are in seconds."""

    environment: str
    interval: timedelta
    main: Path
    args: tuple[str, ...]
    python: str
    start: str
    timeout: float
    stop_grace: float
    log_dir: Path
    state_dir: Path
    alert_after: int
    alert_mail: str
    alert_command: tuple[str, ...]
    ping_url: str
    metrics_file: Path | None


class SettingsError(Exception):
    """The settings are faulty.

    ``faults`` holds a sentence for each fault; ``settings`` has defaults in the place of the faulty ones.
    """

    def __init__(self, faults: list[str], settings: Settings) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults
        self.settings = settings


def load(environ: Mapping[str, str], place: Place, python: str, faults: Sequence[str] = ()) -> Settings:
    """Read the settings from ``environ``; what it lacks has a default, which for paths is that of ``place``.

    Raises SettingsError with every fault that was found, and with those found before: ``faults``.
    """
    reader = _Reader(environ, faults)
    main = place.main.parent / reader.get("SCHED_MAIN", Path, place.main)
    interpreter = reader.get("SCHED_PYTHON", str, python)
    settings = Settings(
        environment=environ.get("SCHED_ENV", "test"),
        interval=reader.interval(),
        main=main,
        args=reader.get("SCHED_ARGS", parse_args, ()),
        python=str(main.parent / interpreter) if "/" in interpreter else interpreter,
        start=reader.get("SCHED_START", _parse_start, "now"),
        timeout=reader.get("SCHED_TIMEOUT", _parse_timeout, 3600.0),
        stop_grace=reader.get("SCHED_STOP_GRACE", parse_span, 10.0),
        log_dir=reader.get("SCHED_LOG_DIR", _parse_absolute, place.log_dir),
        state_dir=reader.get("SCHED_STATE_DIR", _parse_absolute, place.state_dir),
        alert_after=reader.get("SCHED_ALERT_AFTER", _parse_count, 1),
        alert_mail=reader.get("SCHED_ALERT_MAIL", str, ""),
        alert_command=reader.get("SCHED_ALERT_COMMAND", parse_args, ()),
        ping_url=reader.get("SCHED_PING_URL", parse_url, ""),
        metrics_file=reader.get("SCHED_METRICS_FILE", _parse_absolute, None),
    )
    reader.refuse_unknown()
    if reader.faults:
        raise SettingsError(reader.faults, settings)
    return settings


class _Reader:
    """Reads one setting after the other and collects the faults."""

    def __init__(self, environ: Mapping[str, str], faults: Sequence[str]) -> None:
        self.environ = environ
        self.faults = list(faults)

    def get(self, name: str, parse: Callable[[str], T], default: D) -> T | D:
        text = self.environ.get(name, "")
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            self.faults.append(f"{name}={text}: {error}")
            return default

    def interval(self) -> timedelta:
        """From SCHED_INTERVAL, else from the table: a typo in ``prod`` must not mean every minute."""
        environment = self.environ.get("SCHED_ENV", "test")
        if environment not in INTERVALS and not self.environ.get("SCHED_INTERVAL"):
            known = " or ".join(INTERVALS)
            self.faults.append(
                f"SCHED_ENV={environment}: no such environment{_nearest(environment, INTERVALS)}; "
                f"use {known}, or say with SCHED_INTERVAL how often"
            )
        default = timedelta(**INTERVALS.get(environment, INTERVALS["test"]))
        return self.get("SCHED_INTERVAL", parse_interval, default)

    def refuse_unknown(self) -> None:
        for name in sorted(self.environ):
            if name.startswith("SCHED_") and name not in (*NAMES, _GIVEN_TO_MAIN):
                self.faults.append(f"{name}: no such setting{_nearest(name, NAMES)}")


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def parse_span(text: str) -> float:
    """Seconds in a time span of systemd.time(7), such as ``7h 30min``; a bare number is seconds.

    Raises ValueError.
    """
    total, position = 0.0, 0
    while match := _SPAN_PART.match(text, position):
        number, unit = match.groups()
        if unit not in _UNITS:
            raise ValueError(f"no such unit of time: {unit}; use s, min, h or d")
        total, position = total + float(number) * _UNITS[unit], match.end()
    if text[position:].strip() or position == 0:
        raise ValueError("not a time span; write it like 30min, 2h, 1d or 7h 30min")
    if total > _LONGEST:
        raise ValueError("longer than 100 years")
    return total


def parse_interval(text: str) -> timedelta:
    """A time span, or the mapping of IntervalTrigger's keywords as JSON: ``{"hours": 7, "minutes": 30}``.

    Raises ValueError.
    """
    seconds = _mapping_seconds(text) if text.lstrip().startswith("{") else parse_span(text)
    if not _SHORTEST <= seconds <= _LONGEST:
        raise ValueError("the interval must be between 0.1 s and 100 years")
    return timedelta(seconds=seconds)


def _mapping_seconds(text: str) -> float:
    try:
        mapping: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise ValueError(f'not JSON ({error}); write it like {{"hours": 7, "minutes": 30}}') from None
    for key, value in mapping.items():
        if key not in _KEYWORDS:
            raise ValueError(f"no such keyword: {key}; use days, hours, minutes and seconds")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ValueError(f"{key} must be a number that is not negative")
    try:
        return timedelta(**mapping).total_seconds()
    except OverflowError:
        return math.inf


def _parse_timeout(text: str) -> float:
    seconds = parse_span(text)
    if seconds <= 0:
        raise ValueError("the longest run must be more than 0 s")
    return seconds


def _parse_start(text: str) -> str:
    if text not in ("now", "resume"):
        raise ValueError("use now or resume")
    return text


def parse_args(text: str) -> tuple[str, ...]:
    """Words that are quoted as for a shell. Raises ValueError."""
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise ValueError(f"quoted wrongly: {error}") from None


def _parse_absolute(text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise ValueError("must be an absolute path")
    return path


def _parse_count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ValueError("use a whole number, 1 or more")
    return int(text)


def parse_url(text: str) -> str:
    """An address of http or https. Raises ValueError."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or not text.isprintable() or " " in text:
        raise ValueError("use an address like https://hc-ping.com/your-uuid")
    return text
