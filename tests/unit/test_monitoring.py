import os

import pytest

from sched_runner.output.capture import Tail
from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run
from sched_runner.record.state import Retry, State
from sched_runner.settings import places, table
from sched_runner.tell.monitoring import Monitoring

URL = "https://hc-ping.com/uuid"


class Pings(list):
    """In the place of the pinger."""

    send = list.append


@pytest.fixture
def monitoring():
    made = Monitoring("main-scheduler")
    made._pinger = Pings()
    return made


def run_once(monitoring, run, environ=None, **settings):
    """Tell of a run from its begin to its end; gives the path and the run id of each ping."""
    loaded, _ = table.load(settings, places.installed())
    monitoring.begun(loaded, environ or {}, State())
    monitoring.ended(loaded, environ or {}, State(), run, Tail("stdout"))
    sent = [ping.url.removeprefix(URL).split("?rid=") for ping in monitoring._pinger]
    monitoring._pinger.clear()
    return sent


@pytest.mark.parametrize(
    ("outcome", "details", "ending"),
    [
        (Outcome.SUCCEEDED, {"exit_status": 0}, ""),
        (Outcome.FAILED, {"exit_status": 3}, "/3"),
        (Outcome.TIMED_OUT, {"signal": 15}, "/124"),
        (Outcome.KILLED, {"signal": 9}, "/137"),
        (Outcome.NOT_STARTED, {}, "/127"),
    ],
)
def test_begin_and_end_of_a_run_are_pings_with_one_id_and_the_exit_status(monitoring, outcome, details, ending):
    run = Run(7, outcome, duration=1.0, **details)
    (start, first_id), (end, second_id) = run_once(monitoring, run, SCHED_PING_URL=URL)
    assert (start, end) == ("/start", ending)
    assert first_id == second_id
    assert run_once(monitoring, run, SCHED_PING_URL=URL)[0][1] != first_id


def test_of_an_interrupted_run_the_end_is_no_ping(monitoring):
    sent = run_once(monitoring, Run(7, Outcome.INTERRUPTED, duration=1.0), SCHED_PING_URL=URL)
    assert [path for path, _ in sent] == ["/start"]


PUSH = f"{URL}?s={{status}}"


@pytest.mark.parametrize(
    ("outcome", "sent"),
    [
        (Outcome.SUCCEEDED, [(f"{URL}?s=up", None)]),
        (Outcome.NOT_STARTED, [(f"{URL}?s=down", None)]),
        (Outcome.INTERRUPTED, []),
    ],
)
def test_an_address_with_placeholders_is_asked_for_once_at_the_end(monitoring, outcome, sent):
    loaded, _ = table.load({"SCHED_PING_URL": PUSH}, places.installed())
    monitoring.begun(loaded, {}, State())
    monitoring.ended(loaded, {}, State(), Run(7, outcome, duration=1.0), Tail("stdout"))
    assert [(ping.url, ping.body) for ping in monitoring._pinger] == sent


def test_of_a_run_that_is_tried_again_an_address_with_placeholders_hears_nothing(monitoring):
    loaded, _ = table.load({"SCHED_PING_URL": PUSH}, places.installed())
    failed = Run(7, Outcome.FAILED, exit_status=1, duration=1.0)
    monitoring.ended(loaded, {}, State(retry=Retry(9.0, 9.0, 2)), failed, Tail("stdout"))
    assert monitoring._pinger == []


def test_without_an_address_there_is_no_ping_and_without_a_file_there_are_no_metrics(monitoring, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_once(monitoring, Run(7, Outcome.SUCCEEDED, duration=1.0)) == []
    assert os.listdir(tmp_path) == []


SUCCEEDED = Run(7, Outcome.SUCCEEDED, duration=1.0)


def test_the_address_may_be_a_credential_and_the_settings_win(monitoring, tmp_path):
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert run_once(monitoring, SUCCEEDED, environ) == []
    (tmp_path / "ping-url").write_text(f"{URL}\n")
    assert len(run_once(monitoring, SUCCEEDED, environ)) == 2
    (tmp_path / "ping-url").write_text("https://example.org/other\n")
    assert [path for path, _ in run_once(monitoring, SUCCEEDED, environ, SCHED_PING_URL=URL)] == ["/start", ""]


def told(caplog):
    found = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return found


@pytest.mark.parametrize("text", ["file:///etc/shadow", "hush", "https://hush\x1b/", "", "x" * 2_000_000])
def test_a_credential_that_is_no_address_is_told_once_without_its_value(monitoring, tmp_path, caplog, text):
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    (tmp_path / "ping-url").write_text(text)
    assert run_once(monitoring, SUCCEEDED, environ) == []
    (line,) = told(caplog)
    assert line.startswith("the credential ping-url cannot be used, the schedule goes on: ")
    assert not text or text not in line
    (tmp_path / "ping-url").write_text(URL)
    assert len(run_once(monitoring, SUCCEEDED, environ)) == 2
    assert told(caplog) == ["the credential ping-url can be used again"]


def test_a_fifo_in_the_place_of_the_credential_is_not_waited_for(monitoring, tmp_path, caplog):
    os.mkfifo(tmp_path / "ping-url")
    assert run_once(monitoring, SUCCEEDED, {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == []
    assert "is not a regular file" in told(caplog)[0]


def test_metrics_are_written_for_others_to_read_and_told_once_where_they_cannot_be(monitoring, tmp_path, caplog):
    file = tmp_path / "sub" / "main.prom"
    run_once(monitoring, SUCCEEDED, SCHED_METRICS_FILE=str(file))
    run_once(monitoring, SUCCEEDED, SCHED_METRICS_FILE=str(file))
    (line,) = told(caplog)
    assert line.startswith(f"{file} cannot be written, the schedule goes on: {file.parent}/")
    assert line.endswith(": No such file or directory")
    file.parent.mkdir()
    run_once(monitoring, SUCCEEDED, SCHED_METRICS_FILE=str(file))
    assert told(caplog) == [f"{file} can be written again"]
    assert file.stat().st_mode & 0o777 == 0o644
    assert 'main_scheduler_runs_total{scheduler="main-scheduler",outcome="failed"} 0' in file.read_text()
