"""Calendar expressions of systemd.time(7): systemd-analyze reads them, and says when they are due."""

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo

from sched_runner import clock, words
from sched_runner.settings.crontab import from_elsewhere

# A variable of the service must change neither the language nor the form of the answer. env(1) leaves the others, and
# so TZ, as they are.
_COMMAND = (
    *("env", "LC_ALL=C.UTF-8", "LANGUAGE=", "SYSTEMD_COLORS=0", "SYSTEMD_LOG_LEVEL=info", "SYSTEMD_LOG_TARGET=console"),
    *("systemd-analyze", "calendar"),
)
_NOT_FOUND = 127  # the exit status of env(1) if it does not find the command
_TIMEOUT = 5.0  # in seconds; an answer usually takes 0.014 s
_LONGEST_QUOTE = 200
_MOST_QUARTERS = 100  # quarters of an hour: a little more than a day

_NORMALIZED = re.compile(r"^Normalized form: (.+)$", re.MULTILINE)
# systemd 252 writes "Iter. #2", 257 "Iteration #2"; "(in UTC)" follows unless the time zone of the process is UTC.
_DUE = re.compile(r"^ *(Next elapse|Iter\S* #\d+|\(in UTC\)): \S+ (\S+ \d\d:\d\d:\d\d) (\S+)$", re.MULTILINE)
_NEVER = re.compile(r"^ *Next elapse: never$", re.MULTILINE)

Run = Callable[[list[str]], "subprocess.CompletedProcess[str]"]


class CalendarError(ValueError):
    """An expression is wrong or never due again, or systemd-analyze gave no answer; the message is for the operator."""


class _LeftOutError(CalendarError):
    """systemd-analyze came upon a time that the clock leaves out when daylight saving begins."""


@dataclass(frozen=True)
class Answer:
    """Due times of one expression in UTC, in their order; ``is_all`` says that no due time follows them."""

    times: tuple[datetime, ...]
    is_all: bool


def spawn(command: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run ``command`` for its output. Raises OSError and subprocess.TimeoutExpired."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        timeout=_TIMEOUT,
        check=False,
    )


def parse_calendar(text: str, run: Run = spawn) -> tuple[str, ...]:
    """The calendar expressions in ``text``, which ``;`` separates. Each of them has a due time in the future.

    Raises CalendarError, which is a ValueError.
    """
    expressions = tuple(" ".join(part.split()) for part in text.split(";") if part.strip())
    if not expressions:
        raise CalendarError("no time is named; write it like Mon..Fri 08:30 Europe/Madrid")
    for expression in expressions:
        _check(expression, run)
    return expressions


def _check(expression: str, run: Run) -> None:
    """Refuse a crontab's line, a wrong expression and one that is never due again. Raises CalendarError."""
    if meant := from_elsewhere(expression):
        raise CalendarError(f"{expression} is a line of a crontab; write SCHED_CALENDAR={meant}")
    answer = ask(expression, int(clock.wall()), 1, run)
    # Times may follow even if none is listed: ask() leaves out those that the clock now shows for the second time.
    if answer.is_all and not answer.times:
        raise CalendarError(f"{expression} never comes again")


def ask(expression: str, base: int, count: int, run: Run = spawn) -> Answer:
    """The due times after ``base``, which is in seconds since the epoch; systemd-analyze is asked for ``count``.

    If the clock shows a time twice, when daylight saving ends, that time is due once: when the clock first shows it.
    systemd-analyze says the same, but not if ``base`` lies between the two (systemd 252 and 257). Raises CalendarError.
    """
    if not expression.isprintable():
        raise CalendarError("the expression holds a character that cannot be printed")
    form, listed = _list(expression, base, count, run)
    if re.search(r"\d\.\d", form):
        raise CalendarError(f"{expression} names parts of a second; main-scheduler knows whole seconds")
    zone = _zone(form)
    first_shown = {_first_shown(when, zone) for when in listed}
    times = sorted(when for when in first_shown if when.timestamp() > base)
    return Answer(tuple(times), is_all=len(listed) < count)


def _list(
    expression: str, base: int, count: int, run: Run, quarters: int = _MOST_QUARTERS
) -> tuple[str, list[datetime]]:
    """The normalized form of ``expression`` and its due times as systemd-analyze lists them. Raises CalendarError.

    systemd-analyze fails altogether if it comes upon a time such as 0/4:30 in a night whose first hour the clock leaves
    out, as in Chile (systemd 252 and 257). Then this function asks for the list in two parts, and moves ``base`` on in
    quarters of an hour until that night is over.
    """
    try:
        return _read(_output([*_COMMAND, f"--iterations={count}", f"--base-time=@{base}", "--", expression], run))
    except _LeftOutError:
        if not quarters:
            raise
    if count == 1:
        return _list(expression, ((base + 1) // 900 + 1) * 900 - 1, 1, run, quarters - 1)
    form, first = _list(expression, base, count // 2, run, quarters)
    if not first:
        return form, first
    return form, first + _list(expression, int(first[-1].timestamp()), count - len(first), run, quarters)[1]


def _output(command: list[str], run: Run) -> str:
    """The output of ``command`` on stdout. Raises CalendarError unless it succeeds."""
    try:
        done = run(command)
    except subprocess.TimeoutExpired:
        raise CalendarError(f"systemd-analyze gave no answer within {_TIMEOUT:g} s") from None
    except OSError as error:
        raise CalendarError(f"systemd-analyze could not be started: {error.strerror}") from None
    if done.returncode == _NOT_FOUND:
        raise CalendarError("this host has no systemd-analyze, which is needed for SCHED_CALENDAR; use SCHED_INTERVAL")
    if done.returncode < 0:
        raise CalendarError(f"systemd-analyze was killed by signal {-done.returncode}")
    if any(line.startswith("Failed to determine next elapse") for line in done.stderr.splitlines()):
        raise _LeftOutError(_quoted(done.stderr))
    if done.returncode:
        raise CalendarError(_quoted(done.stderr) or f"systemd-analyze ended with exit status {done.returncode}")
    return done.stdout


def _quoted(text: str) -> str:
    return words.printable(text.strip().partition("\n")[0], _LONGEST_QUOTE)


def _read(output: str) -> tuple[str, list[datetime]]:
    """The normalized form and the due times in an answer of systemd-analyze. Raises CalendarError."""
    form = _NORMALIZED.search(output)
    times: list[datetime] = []
    for label, clock_time, zone in _DUE.findall(output):
        if label == "(in UTC)":
            del times[-1:]
        shown = datetime.fromisoformat(clock_time)
        times.append(shown.replace(tzinfo=UTC) if zone == "UTC" else shown.astimezone(UTC))
    if form is None or not (times or _NEVER.search(output)):
        raise CalendarError(f"the answer of systemd-analyze was not understood: {_quoted(output)}")
    return form[1], times


def _zone(normalized: str) -> tzinfo | None:
    """The time zone that ends an expression in its normalized form; None is the zone of this process.

    Raises CalendarError.
    """
    from zoneinfo import ZoneInfo

    name = normalized.rsplit(maxsplit=1)[-1]
    if ":" in name:
        return None
    # An abbreviation of the local zone, such as CEST, stands for one offset: no time comes twice, as in UTC.
    if name in ("UTC", *time.tzname):
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise CalendarError(f"the time zone {name} is not in the time zone database of Python") from None


def _first_shown(when: datetime, zone: tzinfo | None) -> datetime:
    """The moment at which a clock in ``zone`` first shows the date and time that it shows at ``when``."""
    shown = datetime.fromtimestamp(when.timestamp(), zone)
    return shown.replace(fold=0).astimezone(UTC) if shown.fold else when
