import pytest

from sched_runner.record import messages
from sched_runner.record.outcome import Outcome
from sched_runner.record.run_record import Run

DANGEROUS = "no\n\x1b[2J\x9b31m\u202e\u2028" + "x" * 10_000


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (None, "has ended"),
        (Outcome.SUCCEEDED, "succeeded"),
        (Outcome.FAILED, "failed"),
        (Outcome.TIMED_OUT, "timed out"),
        (Outcome.KILLED, "was killed"),
        (Outcome.NOT_STARTED, "was not started"),
        (Outcome.INTERRUPTED, "was interrupted"),
    ],
)
def test_what_became_of_a_run_is_said_in_whole_words(outcome, said):
    assert messages.was(outcome) == said
    assert messages.headline(Run(7, outcome)) == f"run 7 {said}"


@pytest.mark.parametrize(
    ("details", "cause"),
    [
        ({}, ""),
        ({"exit_status": 0}, ""),
        ({"exit_status": 3}, "exit status 3"),
        ({"signal": 9}, "SIGKILL"),
        ({"exit_status": 3, "reason": "ValueError: no"}, "ValueError: no"),
    ],
)
def test_the_cause_is_the_line_that_names_the_error_or_else_signal_or_exit_status(details, cause):
    run = Run(7, Outcome.FAILED, **details)
    assert messages.cause(run) == cause
    assert messages.headline(run) == "run 7 failed" + (f": {cause}" if cause else "")


@pytest.mark.parametrize("say", [messages.cause, messages.headline, messages.summary])
def test_what_main_py_said_is_shown_as_one_printable_line_of_a_sensible_length(say):
    said = say(Run(7, Outcome.NOT_STARTED, reason=DANGEROUS))
    assert said.isprintable()
    assert len(said) < 600
    assert r"no\n\x1b[2J" in said


def test_the_record_of_an_alert_has_its_id_and_its_level():
    record = messages.alert("run 7 failed")
    assert (record.getMessage(), record.levelno) == ("run 7 failed", messages.ALERT_LEVEL)
    assert vars(record)["fields"] == {"MESSAGE_ID": messages.ALERT}
