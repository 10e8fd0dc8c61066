"""Live output: the journal if standard output is connected to it, else the terminal."""

import os
from collections.abc import Mapping
from contextlib import suppress

from sched_runner.output.outputs import Live


def live(environ: Mapping[str, str], name: str) -> Live:
    """The output that shows the lines of the scheduler called ``name`` live."""
    if is_journal(environ, 1):
        from sched_runner.output.journal import Journal

        return Journal(name)
    from sched_runner.output.terminal import Terminal

    return Terminal(1, coloured=is_coloured(environ))


def is_journal(environ: Mapping[str, str], descriptor: int) -> bool:
    """Whether systemd has connected the descriptor to the journal (systemd.exec(5), JOURNAL_STREAM)."""
    with suppress(OSError):
        found = os.fstat(descriptor)
        return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"
    return False


def is_coloured(environ: Mapping[str, str]) -> bool:
    """Whether standard output is a terminal on which colours are wanted (https://no-color.org)."""
    return os.isatty(1) and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
