import signal

import pytest

from sched_runner.record.messages import summary
from sched_runner.record.outcome import Outcome, classify, decode, signal_name, signal_number
from sched_runner.record.run_record import Run


def exited(status: int) -> int:
    return status << 8


def killed(number: int) -> int:
    return number


CORE_DUMPED = 0x80


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
    run = Run(7, ending, duration=1.5, exit_status=code, signal=number, cpu=0.25, peak_kib=23962)
    assert ending is outcome
    assert run.command_exit_status() == exit_once
    assert summary(run) == f"{said} (CPU 0.25 s, peak memory 23.4 MiB)"


def test_a_run_that_could_not_start_says_why_and_nothing_of_what_it_used():
    run = Run(7, Outcome.NOT_STARTED, duration=0.0, reason="/opt/main.py: No such file or directory")
    assert run.command_exit_status() == 127
    assert summary(run) == "run 7 could not start: /opt/main.py: No such file or directory"


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.SUCCEEDED])
def test_no_outcome_but_success_exits_0(outcome):
    assert Run(7, outcome).command_exit_status() != 0
    assert Run(7, outcome, exit_status=0).command_exit_status() != 0


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGKILL, "SIGKILL"), (99, "signal 99")]
)
def test_a_signal_is_named(number, name):
    assert signal_name(number) == name
    assert signal_number(name) == number


@pytest.mark.parametrize("text", ["", "SIGNAL", "signal", "signal x"])
def test_what_is_no_signal_has_no_number(text):
    with pytest.raises(ValueError, match="invalid literal"):
        signal_number(text)
