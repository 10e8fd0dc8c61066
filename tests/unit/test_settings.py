from datetime import timedelta
from pathlib import Path

import pytest

from sched_runner.settings import places, table
from sched_runner.settings.table import Settings

PLACE = places.here(Path("/srv/job"))


def load(**environ: str) -> Settings:
    settings, faults = table.load(environ, PLACE)
    assert faults == []
    return settings


def faults_of(**environ: str) -> list[str]:
    return table.load(environ, PLACE)[1]


def test_every_environment_of_the_table_is_in_the_keywords_of_the_trigger():
    assert {name: timedelta(**keywords) for name, keywords in table.INTERVALS.items()} == {
        "test": timedelta(minutes=1),
        "prod": timedelta(hours=4),
    }


@pytest.mark.parametrize(
    ("environ", "minutes"),
    [
        ({}, 1),
        ({"SCHED_ENV": "test"}, 1),
        ({"SCHED_ENV": "prod"}, 240),
        ({"SCHED_ENV": "prod", "SCHED_INTERVAL": "30min"}, 30),
        ({"SCHED_ENV": "prod", "SCHED_INTERVAL": ""}, 240),
        ({"SCHED_ENV": "staging", "SCHED_INTERVAL": "30min"}, 30),
    ],
)
def test_the_interval_is_that_of_the_environment_unless_one_is_given(environ, minutes):
    assert load(**environ).interval == minutes * 60


@pytest.mark.parametrize(
    ("environment", "suggested"),
    [("pord", "did you mean prod?"), ("PROD", "test or prod"), ("", "test or prod"), ("live", "SCHED_INTERVAL")],
)
def test_an_unknown_environment_without_an_interval_is_refused(environment, suggested):
    (fault,) = faults_of(SCHED_ENV=environment)
    assert f"SCHED_ENV={environment}: no such environment" in fault
    assert suggested in fault


def test_without_any_setting_all_have_their_defaults():
    assert load() == Settings(
        environment="test",
        interval=60.0,
        main=Path("/srv/job/main.py"),
        args=(),
        python="",
        start="now",
        timeout=3600.0,
        stop_grace=10.0,
        log_dir=Path("/srv/job/scheduler"),
        state_dir=Path("/srv/job/scheduler"),
        alert_after=1,
        alert_mail=(),
        alert_command=(),
        ping_url="",
        metrics_file=None,
        calendar=(),
        workdir=None,
        success_status=frozenset({0}),
        retries=0,
        retry_after=60.0,
    )


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("SCHED_ENV", "prod", "environment", "prod"),
        ("SCHED_MAIN", "/opt/mails.py", "main", Path("/opt/mails.py")),
        ("SCHED_MAIN", "mails.py", "main", Path("/srv/job/mails.py")),
        ("SCHED_ARGS", "--to 'a b' c\\ d", "args", ("--to", "a b", "c d")),
        ("SCHED_ARGS", "", "args", ()),
        ("SCHED_ALERT_AFTER", "3", "alert_after", 3),
        ("SCHED_ALERT_MAIL", "you@example.org, root", "alert_mail", ("you@example.org", "root")),
        ("SCHED_ALERT_COMMAND", "curl -d @- 'a b'", "alert_command", ("curl", "-d", "@-", "a b")),
        ("SCHED_PING_URL", "https://hc-ping.com/a?create=1", "ping_url", "https://hc-ping.com/a?create=1"),
        ("SCHED_PING_URL", "https://h/{status}?m={message}", "ping_url", "https://h/{status}?m={message}"),
        ("SCHED_METRICS_FILE", "/srv/main.prom", "metrics_file", Path("/srv/main.prom")),
        ("SCHED_PYTHON", "/opt/venv/bin/python", "python", "/opt/venv/bin/python"),
        ("SCHED_PYTHON", "venv/bin/python", "python", "/srv/job/venv/bin/python"),
        ("SCHED_PYTHON", "python3.13", "python", "python3.13"),
        ("SCHED_START", "resume", "start", "resume"),
        ("SCHED_TIMEOUT", "90min", "timeout", 5400.0),
        ("SCHED_STOP_GRACE", "1min 30s", "stop_grace", 90.0),
        ("SCHED_STOP_GRACE", "0", "stop_grace", 0.0),
        ("SCHED_LOG_DIR", "/data/logs", "log_dir", Path("/data/logs")),
        ("SCHED_STATE_DIR", "/data/state", "state_dir", Path("/data/state")),
    ],
)
def test_a_setting_is_taken_as_it_is_given(name, text, field, value):
    assert getattr(load(**{name: text}), field) == value


@pytest.mark.parametrize("name", [name for name in table.NAMES if name != "SCHED_ENV"])
def test_an_empty_setting_means_its_default(name):
    assert load(**{name: ""}) == load()


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("SCHED_ARGS", "'--to", "quoted wrongly"),
        ("SCHED_START", "later", "use now, resume or due"),
        ("SCHED_TIMEOUT", "0", "more than 0 s"),
        ("SCHED_TIMEOUT", "an hour", "not a time span"),
        ("SCHED_TIMEOUT", "200y", "longer than 100 years"),
        ("SCHED_INTERVAL", "soon", "not a time span"),
        ("SCHED_INTERVAL", "0", "between 0.1 s and 100 years"),
        ("SCHED_STOP_GRACE", "10 sek", "no such unit of time: sek"),
        ("SCHED_LOG_DIR", "logs", "absolute path"),
        ("SCHED_STATE_DIR", "./state", "absolute path"),
        ("SCHED_METRICS_FILE", "main.prom", "absolute path"),
        ("SCHED_ALERT_AFTER", "0", "a whole number, 1 or more"),
        ("SCHED_RETRIES", "-1", "a whole number"),
        ("SCHED_RETRIES", "1" * 20, "a whole number"),
        ("SCHED_RETRY_AFTER", "100ms", "1 s or more"),
        ("SCHED_SUCCESS_STATUS", "0 256", "from 0 to 255"),
        ("SCHED_SUCCESS_STATUS", "none", "a whole number"),
        ("SCHED_WORKDIR", "here", "absolute"),
        ("SCHED_ALERT_AFTER", "two", "a whole number"),
        ("SCHED_ALERT_MAIL", "ops@exämple.org", "addresses like you@example.org"),
        ("SCHED_ALERT_MAIL", "bad <", "addresses like you@example.org"),
        ("SCHED_ALERT_MAIL", "Ops <ops@example.org>", "without names"),
        ("SCHED_ALERT_MAIL", "a@example.org,,b@example.org", "separated by commas"),
        ("SCHED_ALERT_MAIL", "a@example.org b@example.org", "separated by commas"),
        ("SCHED_ALERT_MAIL", "a@b@example.org", "addresses like you@example.org"),
        ("SCHED_ALERT_MAIL", "a@example..org", "addresses like you@example.org"),
        ("SCHED_ALERT_MAIL", "a@-example.org", "addresses like you@example.org"),
        ("SCHED_ALERT_MAIL", ".a@example.org", "addresses like you@example.org"),
        ("SCHED_ALERT_COMMAND", "curl 'ntfy", "quoted wrongly"),
        ("SCHED_PING_URL", "https://hc..ping.com/x", "use an address like https://hc-ping.com/your-uuid"),
        ("SCHED_PING_URL", f"https://{'a' * 64}.com/x", "use an address like https://hc-ping.com/your-uuid"),
        ("SCHED_PING_URL", "hc-ping.com/uuid", "an address like https://"),
        ("SCHED_PING_URL", "file:///etc/passwd", "an address like https://"),
        ("SCHED_PING_URL", "https:///uuid", "an address like https://"),
        ("SCHED_PING_URL", "https://hc-ping.com/a b", "an address like https://"),
        ("SCHED_PING_URL", "https://[hc-ping.com/a", "an address like https://"),
        ("SCHED_PING_URL", "https://hc-ping.com:99999/a", "an address like https://"),
        ("SCHED_PING_URL", "https://h/?s={state}", r"for one of these: {status}, {message}, {duration_ms}"),
        ("SCHED_PING_URL", "https://h/?s={status", "braces"),
        ("SCHED_PING_URL", "https://h/?s=status}", "braces"),
        ("SCHED_PING_URL", "https://h/?s={{status}}", "braces"),
        ("SCHED_PING_URL", "https://h/?s={status}#{message}", "braces"),
        ("SCHED_PING_URL", "https://{status}.h/", "use braces only after the host"),
        ("SCHED_PING_URL", "https://me:{message}@h/?s={status}", "use braces only after the host"),
    ],
)
def test_a_faulty_setting_is_refused_with_the_reason(name, text, why):
    (fault,) = faults_of(**{name: text})
    may_be_secret = name in ("SCHED_ARGS", "SCHED_ALERT_COMMAND", "SCHED_PING_URL")
    assert fault.startswith(f"{name}: " if may_be_secret else f"{name}={text}: ")
    assert (text in fault) is not may_be_secret
    assert why in fault


@pytest.mark.parametrize(
    "text", ["a@example.org\nBcc: b@example.org", "a@example.org\n", "a@example.org\r", "\udcff@b"]
)
def test_an_address_cannot_add_a_line_to_a_mail(text):
    (fault,) = faults_of(SCHED_ALERT_MAIL=text)
    assert "addresses like you@example.org" in fault
    assert fault.isprintable()


def test_a_fault_shows_nothing_unprintable_and_is_of_a_sensible_length():
    found = faults_of(SCHED_START="\x1b[2J\u202e", SCHED_ENV="x" * 100_000, **{"SCHED_\n": "1"})
    assert all(fault.isprintable() and len(fault) < 800 for fault in found)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("SCHED_TIMOUT", "SCHED_TIMEOUT"),
        ("SCHED_INTERVALL", "SCHED_INTERVAL"),
        ("SCHED_STOPGRACE", "SCHED_STOP_GRACE"),
        ("SCHED_LOGDIR", "SCHED_LOG_DIR"),
    ],
)
def test_a_misspelt_setting_is_refused_with_the_nearest_name(name, nearest):
    assert faults_of(**{name: "1"}) == [f"{name}: no such setting (did you mean {nearest}?)"]


@pytest.mark.parametrize("name", ["SCHED_FOO", "SCHED_", "SCHED_COLOUR"])
def test_no_name_is_offered_that_is_not_near(name):
    assert faults_of(**{name: "1"}) == [f"{name}: no such setting"]


def test_a_name_of_another_program_is_no_setting():
    assert load(SCHEDULER="x", PATH="/bin", sched_env="prod") == load()


def test_a_scheduler_that_main_py_starts_takes_the_number_of_its_run_for_no_fault():
    assert load(SCHED_RUN="7") == load()


def test_all_faults_are_told_at_once():
    found = faults_of(SCHED_ENV="pord", SCHED_START="later", SCHED_TIMEOUT="0", SCHED_COLOUR="red")
    assert [fault.split("=")[0].split(":")[0] for fault in found] == [
        "SCHED_START",
        "SCHED_TIMEOUT",
        "SCHED_ENV",
        "SCHED_COLOUR",
    ]


def test_settings_with_faults_have_defaults_in_the_place_of_the_faulty_ones():
    settings, faults = table.load({"SCHED_START": "later", "SCHED_TIMEOUT": "5min", "SCHED_COLOUR": "red"}, PLACE)
    assert len(faults) == 2
    assert settings == load(SCHED_TIMEOUT="5min")


def test_every_setting_is_shown_in_words():
    given = load(SCHED_ENV="prod", SCHED_ARGS="--to 'a b'", SCHED_METRICS_FILE="/srv/main.prom", SCHED_TIMEOUT="90min")
    assert table.shown(given) == {
        "SCHED_ENV": "prod",
        "SCHED_INTERVAL": "4 h",
        "SCHED_CALENDAR": "",
        "SCHED_MAIN": "/srv/job/main.py",
        "SCHED_ARGS": "--to 'a b'",
        "SCHED_PYTHON": "as the script says, or the scheduler's own",
        "SCHED_WORKDIR": "the script's own directory",
        "SCHED_START": "now",
        "SCHED_TIMEOUT": "1 h 30 min",
        "SCHED_STOP_GRACE": "10 s",
        "SCHED_SUCCESS_STATUS": "0",
        "SCHED_RETRIES": "0",
        "SCHED_RETRY_AFTER": "1 min",
        "SCHED_LOG_DIR": "/srv/job/scheduler",
        "SCHED_STATE_DIR": "/srv/job/scheduler",
        "SCHED_ALERT_AFTER": "1",
        "SCHED_ALERT_MAIL": "",
        "SCHED_ALERT_COMMAND": "",
        "SCHED_PING_URL": "",
        "SCHED_METRICS_FILE": "/srv/main.prom",
    }


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("SCHED_ALERT_COMMAND", "curl -H 'Token: secret' ntfy", "curl …"),
        ("SCHED_ALERT_COMMAND", "notify", "notify"),
        ("SCHED_PING_URL", "https://user:secret@hc-ping.com/secret?secret", "https://hc-ping.com/…"),
        ("SCHED_PING_URL", "http://user:secret@127.0.0.1:18765/secret", "http://127.0.0.1:18765/…"),
        ("SCHED_PING_URL", "http://[::1]:8000/secret", "http://[::1]:8000/…"),
    ],
)
def test_what_may_be_a_secret_is_masked_where_settings_are_shown(name, text, shown):
    assert table.shown(load(**{name: text}))[name] == shown


def test_an_instance_has_directories_of_its_own():
    place = places.installed("reports")
    assert place.name == "main-scheduler@reports"
    assert place.env_file == Path("/etc/default/main-scheduler@reports")
    assert place.main == Path("/opt/main-scheduler/reports/main.py")
    assert place.log_dir == Path("/var/log/main-scheduler@reports")
    assert place.state_dir == Path("/var/lib/main-scheduler@reports")


def test_the_service_itself_has_the_directories_that_its_unit_names():
    place = places.installed()
    assert place.name == "main-scheduler"
    assert place.env_file == Path("/etc/default/main-scheduler")
    assert place.main == Path("/opt/main-scheduler/main.py")
    assert place.log_dir == Path("/var/log/main-scheduler")
    assert place.state_dir == Path("/var/lib/main-scheduler")
