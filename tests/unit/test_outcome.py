import signal
from pathlib import Path

import pytest

from sched_runner.outcome import (
    Outcome,
    RunResult,
    classify,
    decode,
    error_line,
    exit_status,
    sandbox_hint,
    signal_name,
    signal_number,
    summary,
)


def exited(status: int) -> int:
    return status << 8


def killed(number: int) -> int:
    return number


CORE_DUMPED = 0x80
DROP_INS = Path(__file__).parents[2] / "deploy/systemd/drop-ins"


# Wait status, timed out, interrupted: outcome, exit status of `once`, how the summary begins.
ENDINGS = [
    (exited(0), False, False, Outcome.SUCCEEDED, 0, "run 7 succeeded in 1.5 s"),
    (exited(3), False, False, Outcome.FAILED, 3, "run 7 failed with exit status 3 after 1.5 s"),
    (exited(126), False, False, Outcome.FAILED, 126, "run 7 failed with exit status 126 after 1.5 s"),
    (exited(255), False, False, Outcome.FAILED, 255, "run 7 failed with exit status 255 after 1.5 s"),
    (killed(9), False, False, Outcome.KILLED, 137, "run 7 was killed by SIGKILL after 1.5 s"),
    (killed(11) | CORE_DUMPED, False, False, Outcome.KILLED, 139, "run 7 was killed by SIGSEGV after 1.5 s"),
    (killed(40), False, False, Outcome.KILLED, 168, "run 7 was killed by signal 40 after 1.5 s"),
    (None, False, False, Outcome.KILLED, 1, "run 7 was killed after 1.5 s"),
    (killed(15), True, False, Outcome.TIMED_OUT, 124, "run 7 timed out after 1.5 s and was ended by SIGTERM"),
    (exited(0), True, False, Outcome.TIMED_OUT, 124, "run 7 timed out after 1.5 s and ended with exit status 0"),
    (exited(1), True, True, Outcome.TIMED_OUT, 124, "run 7 timed out after 1.5 s and ended with exit status 1"),
    (None, True, False, Outcome.TIMED_OUT, 124, "run 7 timed out after 1.5 s and could not be ended"),
    (killed(15), False, True, Outcome.INTERRUPTED, 130, "run 7 was interrupted after 1.5 s and was ended by SIGTERM"),
    (
        exited(0),
        False,
        True,
        Outcome.INTERRUPTED,
        130,
        "run 7 was interrupted after 1.5 s and ended with exit status 0",
    ),
    (None, False, True, Outcome.INTERRUPTED, 130, "run 7 was interrupted after 1.5 s and could not be ended"),
]


@pytest.mark.parametrize(("status", "timed_out", "interrupted", "outcome", "exit_once", "said"), ENDINGS)
def test_an_ending_has_one_outcome_one_exit_status_and_its_words(
    status, timed_out, interrupted, outcome, exit_once, said
):
    code, number = decode(status)
    ending = classify(status, timed_out=timed_out, interrupted=interrupted)
    result = RunResult(7, ending, 0.0, 1.5, code, number, cpu=0.25, peak_kib=23962)
    assert ending is outcome
    assert exit_status(result) == exit_once
    assert summary(result) == f"{said} (CPU 0.25 s, peak memory 23.4 MiB)"


def test_a_run_that_could_not_start_says_why_and_nothing_of_what_it_used():
    result = RunResult(7, Outcome.NOT_STARTED, 0.0, 0.0, reason="/opt/main.py: No such file or directory")
    assert exit_status(result) == 127
    assert summary(result) == "run 7 could not start: /opt/main.py: No such file or directory"


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.SUCCEEDED])
def test_no_outcome_but_success_exits_0(outcome):
    assert exit_status(RunResult(7, outcome, 0.0, 1.0)) != 0


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGKILL, "SIGKILL"), (99, "signal 99")]
)
def test_a_signal_is_named(number, name):
    assert signal_name(number) == name
    assert signal_number(name) == number


@pytest.mark.parametrize("text", ["", "SIGNAL", "signal", "signal x"])
def test_what_is_no_signal_has_no_number(text):
    assert signal_number(text) is None


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ([], ""),
        (["", " "], ""),
        (["usage: main.py", "main.py: error: no such option", ""], "main.py: error: no such option"),
        (["Traceback (most recent call last):", '  File "main.py"', "ValueError: no", "more of it"], "ValueError: no"),
        (
            [
                "Traceback (most recent call last):",
                "  x",
                "A: a",
                "",
                "During",
                "Traceback (most recent call last):",
                "B",
            ],
            "B",
        ),
        (["Traceback (most recent call last):", "  cut off"], ""),
    ],
)
def test_the_line_that_names_the_error(lines, error):
    assert error_line(lines) == error


@pytest.mark.parametrize(
    ("text", "drop_in"),
    [
        ("OSError: [Errno 30] Read-only file system: 'out.csv'", "write-beside-script"),
        ("File \"/opt/sendmail.py\", line 3\nOSError: [Errno 30] Read-only file system: 'out'", "write-beside-script"),
        ("PermissionError: [Errno 13] Permission denied: '/srv/x'", "write-beside-script"),
        ("/home/me/venv/bin/python: Permission denied", "venv-in-home"),
        ("postdrop: warning: mail_queue_enter: create file maildrop/1.2: Permission denied", "sendmail"),
        ("PermissionError: [Errno 13] Permission denied: '/usr/sbin/sendmail'", "sendmail"),
        ("Failed to move to new namespace: Operation not permitted", "browser"),
    ],
)
def test_where_the_sandbox_is_the_likely_cause_the_drop_in_is_named(text, drop_in):
    assert f"the drop-in {drop_in}.conf relaxes it" in sandbox_hint(text)


@pytest.mark.parametrize(
    "text", ["", "ValueError: no such customer", "sendmail: no recipients", "ls: /home/x: not found"]
)
def test_where_the_script_is_at_fault_no_drop_in_is_named(text):
    assert sandbox_hint(text) == ""


@pytest.mark.parametrize("drop_in", ["write-beside-script", "venv-in-home", "sendmail", "browser"])
def test_a_drop_in_that_a_hint_names_is_there(drop_in):
    assert (DROP_INS / f"{drop_in}.conf").is_file()
