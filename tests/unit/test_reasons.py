from pathlib import Path

import pytest

from sched_runner.run.reasons import error_line, sandbox_hint

DROP_INS = Path(__file__).parents[2] / "deploy/systemd/drop-ins"


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
