import random
import re
import subprocess
import time
from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sched_runner.schedule.calendar_times import Calendar
from sched_runner.settings import calendars
from sched_runner.settings.calendars import CalendarError, ask, parse_calendar
from sched_runner.settings.crontab import calendar_hint

MADRID = "Europe/Madrid"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def iso(times):
    return [when.strftime("%m-%d %H:%M") for when in times]


def due_from(expression: str, begin: str, number: int):
    """The first ``number`` due times after ``begin``, as a scheduler finds them."""
    calendar, now, found = Calendar((expression,)), utc(begin), []
    for _ in range(number):
        now = calendar.after(now)
        found.append(now)
    return iso(found)


class Analyze:
    """Answers as systemd-analyze does, for one expression that is due at ``times``, in seconds since the epoch."""

    def __init__(self, times, label="Iter. #{}") -> None:
        self.times = sorted(times)
        self.label = label
        self.calls = 0

    def __call__(self, command):
        self.calls += 1
        options = dict(
            option.split("=@" if "@" in option else "=")
            for option in command
            if option.startswith(("--iterations", "--base-time"))
        )
        begin = bisect_right(self.times, int(options["--base-time"]))
        listed = self.times[begin : begin + int(options["--iterations"])]
        lines = ["Normalized form: *-*-* 08:30:00 UTC"]
        for number, when in enumerate(listed, 1):
            label = self.label.format(number) if number > 1 else "Next elapse"
            lines.append(f"{label:>15}: {datetime.fromtimestamp(when, UTC):%a %Y-%m-%d %H:%M:%S} UTC")
            lines.append("       From now: 10 months 23 days ago")
        if not listed:
            lines.append("    Next elapse: never")
        return subprocess.CompletedProcess(command, 0, "\n".join(lines) + "\n", "")


def answering(stdout="", stderr="", status=0):
    return lambda command: subprocess.CompletedProcess(command, status, stdout, stderr)


def failing(error):
    def run(command):
        raise error

    return run


@pytest.fixture
def in_zone(monkeypatch):
    """Gives this process another time zone."""

    def set_zone(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


# When it is due, by the real systemd-analyze.


def test_a_time_that_the_clock_leaves_out_is_skipped():
    assert due_from(f"02:30 {MADRID}", "2026-03-27", 3) == ["03-27 01:30", "03-28 01:30", "03-30 00:30"]


def test_a_time_that_the_clock_shows_twice_is_due_when_it_is_first_shown():
    assert due_from(f"02:30 {MADRID}", "2026-10-24 12:00", 2) == ["10-25 00:30", "10-26 01:30"]


def test_a_scheduler_that_starts_between_the_two_is_not_due_again():
    # systemd-analyze alone says 01:30 here.
    between = utc("2026-10-25 01:15")
    assert iso(ask(f"02:30 {MADRID}", int(between.timestamp()), 2).times) == ["10-26 01:30"]
    calendar = Calendar((f"02:30 {MADRID}",))
    assert iso([calendar.last(between), calendar.after(between)]) == ["10-25 00:30", "10-26 01:30"]


def test_the_hour_that_the_clock_shows_twice_passes_once_for_every_20_minutes_too():
    assert due_from(f"*:0/20 {MADRID}", "2026-10-25 00:30", 3) == ["10-25 00:40", "10-25 02:00", "10-25 02:20"]


def test_a_morning_keeps_its_time_of_day_over_both_changes():
    calendar = Calendar((f"Mon..Fri 08:30 {MADRID}",))
    assert iso([calendar.last(utc("2026-03-30")), calendar.after(utc("2026-03-30"))]) == ["03-27 07:30", "03-30 06:30"]
    assert iso([calendar.last(utc("2026-10-25")), calendar.after(utc("2026-10-25"))]) == ["10-23 06:30", "10-26 07:30"]


def test_without_a_time_zone_it_is_the_one_of_this_process(in_zone):
    in_zone(MADRID)
    assert due_from("02:30", "2026-10-24 12:00", 2) == ["10-25 00:30", "10-26 01:30"]
    assert iso(ask("02:30", int(utc("2026-10-25 01:15").timestamp()), 2).times) == ["10-26 01:30"]


def test_a_night_whose_first_hour_is_left_out_is_got_over(in_zone):
    # systemd-analyze says "Resource deadlock avoided" here, and of the zone of the process "Infinite loop" before that.
    base, due = int(utc("2026-03-08 04:00").timestamp()), ["03-08 08:30", "03-08 12:30"]
    assert iso(ask("0/4:30 America/Havana", base, 2).times) == due
    in_zone("America/Havana")
    assert iso(ask("0/4:30", base, 2).times) == due


def test_a_leap_day_is_found_four_years_back():
    calendar, now = Calendar(("*-02-29 00:00 UTC",)), utc("2026-11-24")
    assert [when.year for when in (calendar.last(now), calendar.after(now))] == [2024, 2028]


def test_of_several_expressions_whichever_comes_first_counts_and_each_time_once():
    calendar = Calendar(("08:00 UTC", "Mon 08:00 UTC", "*-*-23 09:00 UTC"))
    now = utc("2026-11-23 08:30")
    assert iso([calendar.last(now), calendar.after(now)]) == ["11-23 08:00", "11-23 09:00"]


def test_bursts_with_long_rests_are_found():
    calendar, tuesday = Calendar(("Mon *:*:00 UTC",)), utc("2026-11-24 12:00")
    assert iso([calendar.last(tuesday), calendar.after(tuesday)]) == ["11-23 23:59", "11-30 00:00"]


# One for each night, so that systemd-analyze is asked a few times and not for each example.
NIGHTS = {
    night: Calendar((f"*:0/30 {MADRID}", f"Sun 02:15 {MADRID}")) for night in (utc("2026-03-29"), utc("2026-10-25"))
}


@given(st.sampled_from(list(NIGHTS)), st.floats(-3, 4))
def test_over_both_changes_the_last_the_next_and_now_keep_their_order(night, hours):
    calendar, now = NIGHTS[night], night + timedelta(hours=hours)
    last, following = calendar.last(now), calendar.after(now)
    assert last <= now < following
    assert calendar.last(following) == following
    assert calendar.last(following - timedelta(seconds=1)) == last


# When it is due, whatever the pattern.

DUE = st.lists(st.integers(1, 2**31), min_size=1, max_size=80, unique=True)
BURSTS = st.builds(
    lambda starts, step: [start + step * number for start in starts for number in range(60)],
    st.lists(st.integers(1, 2**31), min_size=1, max_size=4),
    st.sampled_from([1, 60, 3600]),
)


@settings(max_examples=100)
@given(DUE | BURSTS, st.integers(1, 2**31), st.sampled_from([0, 0.5]))
def test_any_pattern_is_searched_as_a_list_would_be(times, second, fraction):
    now = datetime.fromtimestamp(second + fraction, UTC)
    calendar = Calendar(("any",), Analyze(times))
    in_reach = {when for when in times if when > second - 20 * 366 * 86400}
    passed = [when for when in in_reach if when <= second]
    to_come = [when for when in in_reach if when > second]
    last = calendar.last(now)
    assert (last and last.timestamp()) == max(passed, default=None)
    if to_come:
        assert calendar.after(now).timestamp() == min(to_come)
    else:
        with pytest.raises(CalendarError, match="has no due time in the future"):
            calendar.after(now)


def test_a_regular_calendar_is_asked_for_once_in_sixteen_due_times():
    analyze = Analyze(range(1_700_000_000, 1_700_000_000 + 2000 * 60, 60))
    calendar, now = Calendar(("minutely",), analyze), datetime.fromtimestamp(1_700_050_000, UTC)
    for _ in range(320):
        now = calendar.after(now)
        assert calendar.last(now) == now
    assert analyze.calls <= 22


def test_a_look_at_another_time_meanwhile_changes_no_answer():
    """The loop and the thread for runs share the calendar, and systemd-analyze takes its time."""
    now, later = utc("2026-11-23 08:30"), utc("2027-11-23")
    times = range(int(utc("2026-01-01").timestamp()), int(utc("2028-01-01").timestamp()), 3600)
    answers, looks = {"hourly": Analyze(times), "daily": Analyze(times[::24])}, [later]

    def run(command):
        if command[-1] == "daily" and looks:
            calendar.after(looks.pop())
        return answers[command[-1]](command)

    calendar = Calendar(("hourly", "daily"), run)
    assert iso([calendar.after(now), calendar.last(now)]) == ["11-23 09:00", "11-23 08:00"]


def test_no_search_takes_more_than_forty_calls():
    burst = range(1_000_000_000, 1_000_000_060)
    analyze = Analyze([*burst, *(start + 700_000_000 for start in burst)])
    assert Calendar(("bursts",), analyze).last(datetime.fromtimestamp(1_600_000_000, UTC)).timestamp() == 1_000_000_059
    assert analyze.calls < 40


def test_a_clock_that_falls_back_to_1970_is_no_fault():
    calendar = Calendar(("any",), Analyze([500, 2_000_000_000]))
    for now, due in ((1_990_000_000, 2_000_000_000), (5, 500), (500.5, 2_000_000_000)):
        assert calendar.after(datetime.fromtimestamp(now, UTC)).timestamp() == due


@pytest.mark.parametrize("label", ["Iter. #{}", "Iteration #{}"])
def test_the_answers_of_both_releases_are_read(label):
    assert len(ask("any", 0, 3, Analyze([1, 2, 3, 4], label)).times) == 3


def test_in_another_time_zone_the_line_in_utc_counts():
    output = """\
  Original form: 08:30 UTC
Normalized form: *-*-* 08:30:00 UTC
    Next elapse: Sat 2026-03-28 09:30:00 CET
       (in UTC): Sat 2026-03-28 08:30:00 UTC
       From now: 7 months 29 days ago
   Iteration #2: Sun 2026-03-29 10:30:00 CEST
       (in UTC): Sun 2026-03-29 08:30:00 UTC
       From now: 7 months 27 days ago
"""
    answer = ask("08:30 UTC", 0, 3, answering(output))
    assert iso(answer.times) == ["03-28 08:30", "03-29 08:30"]
    assert answer.is_all


# What a cadence is asked besides.

NOON = 1_790_000_000
HOURLY = Analyze(range(NOON - 900 * 3600, NOON + 900 * 3600, 3600))


def noon(hours: float) -> datetime:
    return datetime.fromtimestamp(NOON, UTC) + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("due", "now", "then"),
    [
        # Jumped over, and made up for once.
        (1, 5.5, 1),
        # Still to come.
        (1, 0.5, 1),
        # Looked up anew.
        (1, -7.5, -7),
    ],
)
def test_after_a_step_of_the_clock_the_wall_clock_rules(due, now, then):
    calendar, step = Calendar(("hourly",), HOURLY), timedelta(hours=now)
    assert calendar.stepped(step) is calendar
    assert calendar.due_after_step(noon(due), step, noon(now)) == noon(then)


def test_a_clock_that_is_set_far_back_or_forward_is_followed():
    calendar = Calendar(("hourly",), HOURLY)
    for hours in (0, -500, 500, 0):
        assert calendar.after(noon(hours + 0.5)) == noon(hours + 1)
        assert calendar.last(noon(hours + 0.5)) == noon(hours)


def test_it_is_told_in_the_words_of_the_operator():
    assert Calendar((f"Mon..Fri 08:30 {MADRID}",)).every == f"at Mon..Fri 08:30 {MADRID}"
    assert Calendar(("08:00", "Sat 10:00")).every == "at 08:00; Sat 10:00"


# Reading the setting.


def test_settings_can_be_read_while_the_clock_shows_an_hour_again():
    again = "Normalized form: *-*-* *:00/20:00 Europe/Madrid\n    Next elapse: Sun 2024-10-27 01:20:00 UTC\n"
    assert parse_calendar(f"*:0/20 {MADRID}", answering(again)) == (f"*:0/20 {MADRID}",)


def test_expressions_are_separated_by_semicolons():
    assert parse_calendar(f" Mon..Fri  08:30 {MADRID}; Sat 10:00;") == (f"Mon..Fri 08:30 {MADRID}", "Sat 10:00")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (" ; ", "no time is named; write it like Mon..Fri 08:30 Europe/Madrid"),
        ("daily; Foo", "Failed to parse calendar specification 'Foo': Invalid argument"),
        ("30min", "Failed to parse calendar specification '30min': Invalid argument"),
        ("-x", "Failed to parse calendar specification '-x': Invalid argument"),
        ("2020-01-01", "2020-01-01 never comes again"),
        ("*-02-30", "*-02-30 never comes again"),
        ("*:*:0/0.5", "*:*:0/0.5 names parts of a second; main-scheduler knows whole seconds"),
        ("daily\x1b[31m", "the expression holds a character that cannot be printed"),
        ("*/5 * * * *", "*/5 * * * * is a line of a crontab; write SCHED_CALENDAR=*:0/5"),
    ],
)
def test_a_faulty_calendar_is_refused_in_one_sentence(text, fault):
    with pytest.raises(ValueError, match=f"^{re.escape(fault)}$"):
        parse_calendar(text)


@pytest.mark.parametrize(
    ("run", "fault"),
    [
        (answering(stderr="env: 'systemd-analyze': No such file or directory", status=127), "this host has no systemd-analyze, .* SCHED_INTERVAL"),
        (failing(FileNotFoundError(2, "No such file or directory")), "could not be started: No such file or directory"),
        (failing(subprocess.TimeoutExpired("env", 5)), "gave no answer within 5 s"),
        (answering(status=-15), "systemd-analyze was killed by signal 15"),
        (answering(status=3), "systemd-analyze ended with exit status 3"),
        (answering(stderr="no\x1b[31m\nHint: two", status=1), r"^no\\x1b\[31m$"),
        (answering(stderr="x" * 999, status=1), "^x{199}…$"),
        (answering(), "was not understood"),
        (answering("Normalized form: *-*-* 08:30:00 No/Zone\n    Next elapse: never\n"), "time zone No/Zone is not"),
        (answering(stderr="Failed to determine next elapse for 'any': Resource deadlock avoided", status=1), "^Failed to determine"),
    ],
)  # fmt: skip
def test_without_an_answer_of_systemd_analyze_the_reason_is_told(run, fault):
    with pytest.raises(CalendarError, match=fault):
        parse_calendar("any", run)
    with pytest.raises(CalendarError, match=fault):
        Calendar(("any",), run).last(noon(0))


# What was meant for another setting, or another tool.


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("*/5 * * * *", "*:0/5"),
        ("30 8 * * 1-5", "Mon..Fri 08:30"),
        ("0 8 * * MON-FRI", "Mon..Fri 08:00"),
        ("* * * * *", "*:*"),
        ("0 */4 * * *", "0/4:00"),
        ("0 0 * * 0", "Sun 00:00"),
        ("0 0 * * 7", "Sun 00:00"),
        ("0 0 * * 5-7", "Fri..Sun 00:00"),
        ("15,45 8-18 * jan-mar,12 0,6", "Sat,Sun *-01..03,12-* 08..18:15,45"),
        ("0 0 1 * 1", "*-*-01 00:00; Mon 00:00"),
        ("0 0 */2 * mon", "Mon *-*-1/2 00:00"),
        ("@yearly", "yearly"),
        ("@annually", "yearly"),
        ("@monthly", "monthly"),
        ("@weekly", "Sun 00:00"),
        ("@daily", "daily"),
        ("@midnight", "daily"),
        ("@hourly", "hourly"),
        *((text, text) for text in ("08:00", "08:30:00", "Mon 08:00", "daily", f"Mon..Fri 08:30 {MADRID}", "08:00; 20:00", "*-*-01 06:00", "*:0/5")),
    ],
)  # fmt: skip
def test_a_calendar_as_interval_gets_the_setting_and_the_expression_that_mean_it(text, expression):
    assert f"SCHED_CALENDAR={expression} in its place" in calendar_hint(text)


def test_a_start_at_boot_needs_no_setting():
    assert calendar_hint("@reboot").startswith("the first run starts when the scheduler starts")


@pytest.mark.parametrize(
    "text",
    ["", "30min", "1h30", "7h 30min", "90", '{"hours": 4}', "8:00 pm", "25:00", "08:60", "@never", "60 * * * *", "5/15 * * * *",
     "*/0 * * * *", "0 0 5-1 * *", "0 0 1- * *", "0 0 32 * *", "0 0 * foo *", "0 0 * * 8", "1,,2 * * * *", "* * * *", "* * * * * *"],
)  # fmt: skip
def test_anything_else_gets_no_hint(text):
    assert calendar_hint(text) == ""


# crontab(5) once more, written another way: whether a moment fits, and not what set of numbers there is.

WEEK = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
NUMBERS = {name: number for names in (WEEK, (None, *MONTHS)) for number, name in enumerate(names)}


def fits(field, value, low, high):
    for part in field.lower().split(","):
        span, _, step = part.partition("/")
        ends = [low, high] if span == "*" else [int(NUMBERS.get(word, word)) for word in span.split("-")]
        if ends[0] <= value <= ends[-1] and (value - ends[0]) % int(step or 1) == 0:
            return True
    return False


def fits_day(line, day):
    _, _, days, months, week = line.split()
    by_date = fits(days, day.day, 1, 31)
    by_week = any(fits(week, number, 0, 7) for number in {day.isoweekday(), day.isoweekday() % 7})
    either = not (days.startswith("*") or week.startswith("*"))
    return fits(months, day.month, 1, 12) and (by_date or by_week if either else by_date and by_week)


def fitting(line, begin, days):
    """Every minute after ``begin`` that fits, of so many days; ``begin`` is a midnight."""
    minutes, hours, *_ = line.split()
    for day in (begin + timedelta(days=number) for number in range(days)):
        if fits_day(line, day):
            for minute in range(1440):
                when = day + timedelta(minutes=minute)
                if fits(hours, when.hour, 0, 23) and fits(minutes, when.minute, 0, 59) and when > begin:
                    yield when


def random_field(chance, low, high, names=()):
    def number():
        return chance.randint(low, high)

    def span():
        first, last = sorted((number(), number()))
        return f"{first}-{last}"

    forms = [
        lambda: "*",
        lambda: str(number()),
        lambda: f"*/{chance.randint(1, high)}",
        span,
        lambda: f"{span()}/{chance.randint(1, 7)}",
        lambda: ",".join(chance.choice([str(number()), span()]) for _ in range(3)),
        lambda: chance.choice(names) if names else str(number()),
    ]
    return chance.choice(forms)()


def random_line(chance):
    ranges = [(0, 59), (0, 23), (1, 31), (1, 12, MONTHS), (0, 7, [name.upper() for name in WEEK])]
    return " ".join(random_field(chance, *each) if chance.random() < 0.6 else "*" for each in ranges)


LINES = [
    "*/5 * * * *",
    "30 8 * * 1-5",
    "0 0 1 * 1",
    "0 0 29 2 *",
    "0 0 */2 * mon",
    "0 0 31 * *",
    "*/7 */5 * * *",
    "0 0 * * */7",
]


def test_crontab_lines_are_due_at_the_same_times_as_the_expressions_that_are_named_for_them():
    begin, days, number = utc("2026-11-24"), 800, 8
    chance = random.Random(42)
    lines = [*LINES, *(random_line(chance) for _ in range(60))]
    meant = [
        calendar_hint(line).partition("SCHED_CALENDAR=")[2].removesuffix(" in its place").split("; ") for line in lines
    ]
    options = [f"--iterations={number}", f"--base-time=@{begin.timestamp():.0f}", "--"]
    output = calendars.spawn(
        ["systemd-analyze", "calendar", *options, *(f"{each} UTC" for both in meant for each in both)]
    )
    blocks = iter(output.stdout.split("\n\n"))
    for line, both in zip(lines, meant, strict=True):
        due = {
            when for _ in both for when in calendars._read(next(blocks))[1] if when <= begin + timedelta(days=days - 1)
        }
        expected = list(islice(fitting(line, begin, days - 1), number))
        assert sorted(due)[:number] == expected, (line, both)
        assert all(before < after for before, after in pairwise(expected))
