"""Why a run failed, as main.py itself said it."""

import subprocess
import sys

import pytest

from sched_runner import words
from sched_runner.run.reasons import error_line


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("raise ValueError('no')", "ValueError: no"),
        ("raise ValueError('\\nno')", "ValueError: no"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("try: 1 / 0\nexcept ZeroDivisionError: raise ValueError('no')", "ValueError: no"),
        ("try: 1 / 0\nexcept ZeroDivisionError as e: raise ValueError('no') from e", "ValueError: no"),
        ("import atexit, sys; atexit.register(print, 'bye', file=sys.stderr); raise ValueError('no')", "ValueError: no"),
        ("import atexit; atexit.register(lambda: 1 / 0); raise ValueError('no')", "ValueError: no"),
        ("class D:\n  def __del__(self): 1 / 0\nd = D(); raise ValueError('no')", "ValueError: no"),
        ("import logging; logging.error('%d', 'x'); print('gone', file=logging.sys.stderr); raise SystemExit(3)", "gone"),
        ("import threading; t = threading.Thread(target=int, args='x'); t.start(); t.join(); raise ValueError('no')",
         "ValueError: no"),
        ("import threading; t = threading.Thread(target=int, args='x'); t.start(); t.join(); raise SystemExit(3)",
         "ValueError: invalid literal for int() with base 10: 'x'"),
        ("raise ExceptionGroup('all', [ValueError('a'), TypeError('b')])",
         "ExceptionGroup: all (2 sub-exceptions): ValueError: a"),
        ("raise ExceptionGroup('all', [ExceptionGroup('some', [ValueError('a')]), TypeError('b')])",
         "ExceptionGroup: all (2 sub-exceptions): ValueError: a"),
        ("try: 1 / 0\nexcept ZeroDivisionError: raise ExceptionGroup('all', [ValueError('a')])",
         "ExceptionGroup: all (1 sub-exception): ValueError: a"),
        ("try: raise ExceptionGroup('all', [ValueError('a')])\nexcept ExceptionGroup: raise TypeError('b')",
         "TypeError: b"),
        ("import os, faulthandler; faulthandler.enable(); os.abort()", "Fatal Python error: Aborted"),
        ("import faulthandler, time; faulthandler.dump_traceback_later(0.1, exit=True); time.sleep(60)",
         "Timeout (0:00:00.100000)!"),
        (("import asyncio\nasync def f(): 1 / 0\nasync def m(): asyncio.create_task(f()); await asyncio.sleep(0.01)\n"
         "asyncio.run(m()); raise SystemExit('no')"), "no"),
        ("print('a'", "SyntaxError: '(' was never closed"),
    ],
)  # fmt: skip
def test_the_reason_is_the_exception_that_ended_main_py(source: str, error: str) -> None:
    ending = subprocess.run([sys.executable, "-I", "-S", "-c", source], capture_output=True, check=False)
    assert error_line(words.escape(ending.stderr).decode().split("\n")) == error
