"""What surrounds a user who types ./tests/run.sh does not reach the tests: his variables, ignored signals, umask."""

import os
import signal

# Everything else that he may have exported is for his programs: SCHED_ENV, NO_COLOR, LC_ALL, MAILDIR, PYTHONWARNINGS…
KEPT = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "CI", "XDG_CACHE_HOME"),
    *(
        "PYTHONPATH",
        "PYTHONSAFEPATH",
        "PYTHONDONTWRITEBYTECODE",
        "NO_MACHINE_BECAUSE",
    ),  # for pytest itself, and the processes that it starts
)
KEPT_BEGINNINGS = ("PYTEST_", "http_proxy", "https_proxy", "no_proxy")


def shut_out_variables():
    for name in set(os.environ) - set(KEPT):
        if not name.startswith(KEPT_BEGINNINGS):
            del os.environ[name]
    os.environ["LANG"] = "C.UTF-8"


def shut_out_signals():
    """What is ignored, as under nohup, would be ignored by every child; a handler is reset in children."""
    for number in set(signal.valid_signals()) - {signal.SIGPIPE, signal.SIGXFSZ}:  # Python ignores these itself
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


shut_out_variables()
shut_out_signals()
os.umask(0o022)
