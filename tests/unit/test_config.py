from datetime import timedelta
from pathlib import Path

import pytest

from sched_runner import config
from sched_runner.config import Settings, SettingsError

PLACE = config.here(Path("/srv/job"))


def load(**environ: str) -> Settings:
    return config.load(environ, PLACE, "/usr/bin/python3")


def faults_of(**environ: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(**environ)
    return caught.value.faults


def test_every_environment_of_the_table_is_in_the_keywords_of_the_trigger():
    assert {name: timedelta(**keywords) for name, keywords in config.INTERVALS.items()} == {
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
    assert load(**environ).interval == timedelta(minutes=minutes)


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
        ("1M", 2629800),
        ("1m", 60),
        ("200000us", 0.2),
        ("200000µs", 0.2),
        # The shortest and the longest.
        ("100ms", 0.1),
        ("100y", 36525 * 86400),
        # A bare number is seconds, also behind others.
        ("90", 90),
        ("1h30", 3630),
        ("1.5h", 5400),
        ("  10  s  ", 10),
    ],
)
def test_a_span_of_time_means_what_it_means_to_systemd(text, seconds):
    assert load(SCHED_INTERVAL=text).interval == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ('{"minutes": 1}', 60),
        ('{"hours": 7, "minutes": 30}', 27000),
        ('{"days": 1, "hours": 2, "minutes": 3, "seconds": 4}', 93784),
        ('{"hours": 0.5}', 1800),
        ('{"weeks": 1}', 604800),
        (' {"seconds": 90} ', 90),
        ('{"hours": 0, "seconds": 1}', 1),
    ],
)
def test_a_mapping_means_what_it_means_to_the_trigger(text, seconds):
    assert load(SCHED_INTERVAL=text).interval == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("soon", "not a time span"),
        (" ", "not a time span"),
        ("-5min", "not a time span"),
        ("7:30", "not a time span"),
        ("min", "not a time span"),
        ("1.2.3s", "not a time span"),
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
        ('{"hours": 7', "not JSON"),
        ("{'hours': 7}", "not JSON"),
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
    (fault,) = faults_of(SCHED_INTERVAL=text)
    assert fault.startswith(f"SCHED_INTERVAL={text}: ")
    assert why in fault


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
        interval=timedelta(minutes=1),
        main=Path("/srv/job/main.py"),
        args=(),
        python="/usr/bin/python3",
        start="now",
        timeout=3600.0,
        stop_grace=10.0,
        log_dir=Path("/srv/job/scheduler"),
        state_dir=Path("/srv/job/scheduler"),
        alert_after=1,
        alert_mail="",
        alert_command=(),
        ping_url="",
        metrics_file=None,
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
        ("SCHED_ALERT_MAIL", "you@example.org", "alert_mail", "you@example.org"),
        ("SCHED_ALERT_COMMAND", "curl -d @- 'a b'", "alert_command", ("curl", "-d", "@-", "a b")),
        ("SCHED_PING_URL", "https://hc-ping.com/a?create=1", "ping_url", "https://hc-ping.com/a?create=1"),
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


@pytest.mark.parametrize("name", [name for name in config.NAMES if name != "SCHED_ENV"])
def test_an_empty_setting_means_its_default(name):
    assert load(**{name: ""}) == load()


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("SCHED_ARGS", "'--to", "quoted wrongly"),
        ("SCHED_START", "later", "use now or resume"),
        ("SCHED_TIMEOUT", "0", "more than 0 s"),
        ("SCHED_TIMEOUT", "an hour", "not a time span"),
        ("SCHED_TIMEOUT", "200y", "longer than 100 years"),
        ("SCHED_STOP_GRACE", "10 sek", "no such unit of time: sek"),
        ("SCHED_LOG_DIR", "logs", "absolute path"),
        ("SCHED_STATE_DIR", "./state", "absolute path"),
        ("SCHED_METRICS_FILE", "main.prom", "absolute path"),
        ("SCHED_ALERT_AFTER", "0", "a whole number, 1 or more"),
        ("SCHED_ALERT_AFTER", "two", "a whole number, 1 or more"),
        ("SCHED_ALERT_COMMAND", "curl 'ntfy", "quoted wrongly"),
        ("SCHED_PING_URL", "hc-ping.com/uuid", "an address like https://"),
        ("SCHED_PING_URL", "file:///etc/passwd", "an address like https://"),
        ("SCHED_PING_URL", "https:///uuid", "an address like https://"),
        ("SCHED_PING_URL", "https://hc-ping.com/a b", "an address like https://"),
    ],
)
def test_a_faulty_setting_is_refused_with_the_reason(name, text, why):
    (fault,) = faults_of(**{name: text})
    assert fault.startswith(f"{name}={text}: ")
    assert why in fault


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


def test_a_name_of_another_program_is_no_setting():
    assert load(SCHEDULER="x", PATH="/bin", sched_env="prod") == load()


def test_a_scheduler_that_main_py_starts_takes_the_number_of_its_run_for_no_fault():
    assert load(SCHED_RUN="7") == load()


def test_all_faults_are_told_at_once():
    found = faults_of(SCHED_ENV="pord", SCHED_START="later", SCHED_TIMEOUT="0", SCHED_COLOUR="red")
    assert [fault.split("=")[0].split(":")[0] for fault in found] == [
        "SCHED_ENV",
        "SCHED_START",
        "SCHED_TIMEOUT",
        "SCHED_COLOUR",
    ]


def test_settings_with_faults_have_defaults_in_the_place_of_the_faulty_ones():
    with pytest.raises(SettingsError) as caught:
        load(SCHED_START="later", SCHED_TIMEOUT="5min", SCHED_COLOUR="red")
    assert caught.value.settings == load(SCHED_TIMEOUT="5min")


def test_faults_found_before_are_told_with_those_found_here():
    with pytest.raises(SettingsError) as caught:
        config.load({"SCHED_START": "later"}, PLACE, "python3", ["file:1: is not NAME=value"])
    assert caught.value.faults == ["file:1: is not NAME=value", "SCHED_START=later: use now or resume"]
    assert str(caught.value) == "file:1: is not NAME=value; SCHED_START=later: use now or resume"


def test_an_instance_has_directories_of_its_own():
    place = config.installed("reports")
    assert place.name == "main-scheduler@reports"
    assert place.env_file == Path("/etc/default/main-scheduler@reports")
    assert place.main == Path("/opt/main-scheduler/reports/main.py")
    assert place.log_dir == Path("/var/log/main-scheduler@reports")
    assert place.state_dir == Path("/var/lib/main-scheduler@reports")


def test_the_service_itself_has_the_directories_that_its_unit_names():
    place = config.installed()
    assert place.name == "main-scheduler"
    assert place.env_file == Path("/etc/default/main-scheduler")
    assert place.main == Path("/opt/main-scheduler/main.py")
    assert place.log_dir == Path("/var/log/main-scheduler")
    assert place.state_dir == Path("/var/lib/main-scheduler")
