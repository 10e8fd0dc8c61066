import pytest

from sched_runner.run.reasons import error_line


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
