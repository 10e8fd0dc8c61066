import pytest

from sched_runner.run.reasons import error_line


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Error: boom\n    at Object.<anonymous> (/x.js:1:7)\n\nNode.js v18.19.0", "Error: boom"),
        ("boom at x.pl line 1.", "boom at x.pl line 1."),
        ("x.rb:1:in `f': boom (RuntimeError)\n\tfrom x.rb:2:in `<main>'", "x.rb:1:in `f': boom (RuntimeError)"),
        ("main.sh: line 3: nosuch: command not found", "main.sh: line 3: nosuch: command not found"),
        ("  at the top\n", "at the top"),
        ("from here on", "from here on"),
        (r"  1 %\r  2 %\r100 %\rerror: disk full", "error: disk full"),
        (r"  1 %\r  2 %\r100 %\r", "100 %"),
        (r"error: no such file C:\reports\r", r"error: no such file C:\reports"),
        (r"\x1b[31merror:\x1b[0m no", "error: no"),
        ("x" * 5000, "x" * 299 + "…"),
        ("Traceback (most recent call last):\n  cut off", ""),
    ],
)
def test_the_line_that_names_the_error(text, error):
    assert error_line(text.split("\n")) == error
