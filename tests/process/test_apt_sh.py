"""deploy/apt.sh: packages for install.sh, run.sh and tests/run.sh. An apt-get of the test's own stands for apt's."""

import subprocess
from pathlib import Path

import pytest

APT_SH = Path(__file__).parents[2] / "deploy/apt.sh"
IS_LOCKED = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 123 (apt-get)"
NO_NETWORK = "E: Failed to fetch http://deb.debian.org/debian/dists/bookworm/InRelease"


@pytest.fixture
def call(tmp_path):
    """Calls a function of apt.sh; apt-get fails with the first lines of the file "faults", one each time."""
    (tmp_path / "faults").touch()
    programs = {
        "apt-get": """
            echo "$@" >>asked
            [ -s faults ] || exit 0
            head -n 1 faults >&2
            sed -i 1d faults
            exit 100
        """,
        "sudo": '"$@"',
        "sleep": "",
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)

    def call(function, *faults):
        (tmp_path / "faults").write_text("".join(f"{fault}\n" for fault in faults))
        program = f"set -eu; PATH=$PWD:$PATH; . {APT_SH}; {function}"
        ended = subprocess.run(["sh", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
        return ended, (tmp_path / "asked").read_text().splitlines()

    return call


def test_another_apt_get_that_has_the_lock_of_the_lists_is_waited_for(call):
    ended, asked = call("update_and_install one two", IS_LOCKED, IS_LOCKED)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [words.split()[-1] for words in asked] == ["update", "update", "update", "two"]


def test_what_waiting_does_not_mend_is_told_at_once_and_nothing_is_installed(call):
    ended, asked = call("update_and_install one two", NO_NETWORK)
    assert (ended.returncode, ended.stderr) == (1, f"{NO_NETWORK}\n")
    assert len(asked) == 1
