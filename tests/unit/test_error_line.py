import pytest

from sched_runner.run.reasons import error_line


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("Error: boom\n    at Object.<anonymous> (/x.js:1:7)\n\nNode.js v18.19.0", "Error: boom"),
        ("boom at x.pl line 1.", "boom at x.pl line 1."),
        ("x.rb:1:in `f': boom (RuntimeError)\n\tfrom x.rb:2:in `<main>'", "x.rb:1:in `f': boom (RuntimeError)"),
        ("main.sh: line 3: nosuch: command not found", "main.sh: line 3: nosuch: command not found"),
        ("Error: no\n    at f (x.js:1) {\n  errno: -2,\n  [cause]: Error: a\n      at g\n}\n\nNode.js v20.1.0", "Error: no"),
        ("[UnhandledPromiseRejection: no] {\n  code: 'ERR'\n}\n\nNode.js v20.1.0", "[UnhandledPromiseRejection: no]"),
        ("java.lang.Error: a\n\tat X.f\nCaused by: java.io.IOException: no\n\tat X.g\n\t... 1 more",
         "Caused by: java.io.IOException: no"),
        ("Unhandled exception. System.IO.IOException: no\nFile name: '/x'\n   at X.Main()",
         "Unhandled exception. System.IO.IOException: no"),
        ("boom\nstack backtrace:\n   0: f\n     at /x.rs:1\nnote: Some, run with `RUST_BACKTRACE=full` for more", "boom"),
        ("panic: no\n\ngoroutine 1 [running]:\nmain.main()\n\t/x.go:4 +0x2c\nexit status 2", "panic: no"),
        ("PHP Fatal error:  no\nStack trace:\n#0 {main}\n  thrown in /x.php on line 3", "PHP Fatal error:  no"),
        ("Can't locate Foo.pm in @INC (x) at x.pl line 1.\nBEGIN failed--compilation aborted at x.pl line 1.",
         "Can't locate Foo.pm in @INC (x) at x.pl line 1."),
        ('ERROR:  no "x"\nLINE 1: select x\n               ^', "LINE 1: select x"),
        ("Error: a\n    at f (x.js:1)\nfatal: gave up", "fatal: gave up"),
        ("  at the top\n", "at the top"),
        ("from here on", "from here on"),
        (r"  1 %\r  2 %\r100 %\rerror: disk full", "error: disk full"),
        (r"  1 %\r  2 %\r100 %\r", "100 %"),
        (r"error: no such file C:\reports\r", r"error: no such file C:\reports"),
        (r"\x1b[31merror:\x1b[0m no", "error: no"),
        ("x" * 5000, "x" * 299 + "…"),
        ("Traceback (most recent call last):\n  cut off", ""),
    ],
)  # fmt: skip
def test_the_line_that_names_the_error(text, error):
    assert error_line(text.split("\n")) == error
