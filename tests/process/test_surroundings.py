"""What surrounds the user who types ./tests/run.sh does not reach the tests."""

import json
import os
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parents[1] / "conftest.py"
# What a child of pytest is born with.
CHILD = "env; umask; grep SigIgn /proc/self/status"
PYTEST = f"import runpy, subprocess; runpy.run_path({str(CONFTEST)!r}); subprocess.run(['sh', '-c', {CHILD!r}])"


def test_neither_ignored_signals_nor_umask_nor_exported_variables_reach_a_child(tmp_path: Path) -> None:
    exported = {
        "SCHED_ENV": "prod",
        "MAILDIR": "/home/ana/Mail",
        "NO_COLOR": "1",
        "LC_ALL": "POSIX",
        "TZ": "America/Caracas",
    }
    surroundings = f"trap '' HUP INT QUIT USR1; umask 077; exec {json.dumps(sys.executable)} -c \"$0\""
    done = subprocess.run(
        ["sh", "-c", surroundings, PYTEST], env=os.environ | exported, capture_output=True, text=True, check=True
    )
    *variables, umask, ignored = done.stdout.splitlines()
    assert not exported.keys() & {line.split("=")[0] for line in variables}
    assert "LANG=C.UTF-8" in variables
    assert umask == "0022"
    assert int(ignored.split()[1], 16) & 0b111 == 0, "HUP, INT and QUIT"
