"""deploy/run.sh: the first command that anybody types."""

import json
import mailbox
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest
from harness import Command, Site

CHECKOUT = Path(__file__).parents[2]
RUN_SH = CHECKOUT / "deploy/run.sh"
PREFIX = "import json, os, sys; print(json.dumps({'prefix': sys.prefix, 'arguments': sys.argv[1:]}))"

needs_libraries = pytest.mark.skipif(
    subprocess.run(
        ["/usr/bin/python3", "-I", "-c", "import apscheduler, systemd.daemon, dotenv"], capture_output=True, check=False
    ).returncode
    != 0,
    reason="the distribution's packages are not installed",
)


def start(site: Site, *arguments: str, **env: str) -> Command:
    command = Command([str(RUN_SH), *arguments], site.env | {"SCHED_INTERVAL": "1h"} | env, site.path)
    site.commands.append(command)
    return command


def call(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(RUN_SH), *arguments], env=site.env, cwd=site.path, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def environment(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a virtual environment of a user's."""

    def make(name: str) -> Path:
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", str(tmp_path / name)], check=True)
        return tmp_path / name

    return make


@needs_libraries
def test_the_sample_leaves_the_mailbox_of_who_types_it_alone(site: Site) -> None:
    theirs = mailbox.Maildir(site.path / "Mail")
    for number in range(150):
        letter = mailbox.MaildirMessage(EmailMessage())
        letter.set_subdir("cur")
        letter.set_date(number)
        theirs.add(letter)
    scheduler = start(site, MAILDIR=str(site.path / "Mail"))
    assert site.await_runs()[0]["outcome"] == "succeeded"
    assert len(list((site.path / "Mail/cur").iterdir())) == 150
    assert not list((site.path / "Mail/new").iterdir())
    assert len(list((site.own / "Maildir/new").iterdir())) == 1
    assert scheduler.stop() == 0


@needs_libraries
def test_a_script_runs_with_the_libraries_of_the_activated_environment(
    site: Site, environment: Callable[[str], Path]
) -> None:
    venv = environment("with a space")
    site.main(PREFIX)
    scheduler = start(site, "main.py", VIRTUAL_ENV=str(venv), SCHED_ARGS="one 'two three'")
    assert site.await_runs()[0]["outcome"] == "succeeded"
    assert json.loads(site.output()) == {"prefix": str(venv), "arguments": ["one", "two three"]}
    assert scheduler.stop() == 0


@needs_libraries
def test_sched_python_wins_over_the_activated_environment(site: Site, environment: Callable[[str], Path]) -> None:
    activated, named = environment("activated"), environment("named")
    site.main(PREFIX)
    scheduler = start(site, "main.py", VIRTUAL_ENV=str(activated), SCHED_PYTHON=str(named / "bin/python"))
    assert site.await_runs()[0]["outcome"] == "succeeded"
    assert json.loads(site.output())["prefix"] == str(named)
    assert scheduler.stop() == 0


@needs_libraries
def test_a_file_of_the_users_beside_the_readme_is_not_taken_for_a_library(site: Site) -> None:
    (site.path / "checkout/deploy").mkdir(parents=True)
    shutil.copytree(CHECKOUT / "sched_runner", site.path / "checkout/sched_runner")
    for script in (RUN_SH, CHECKOUT / "deploy/apt.sh"):
        shutil.copy(script, site.path / "checkout/deploy")
    (site.path / "checkout/json.py").write_text("raise SystemExit('mine')")
    site.main("print('runs')")
    scheduler = Command(
        ["checkout/deploy/run.sh", "main.py"], site.env | {"SCHED_INTERVAL": "1h", "CDPATH": "/tmp"}, site.path
    )
    site.commands.append(scheduler)
    assert site.await_runs()[0]["outcome"] == "succeeded"
    assert scheduler.stop() == 0


def settings_of(site: Site, script: Path, **env: str) -> dict[str, str]:
    """What run.sh hands to the scheduler: a Python of the test's own in its place tells it."""
    fake = site.path / "bin"
    fake.mkdir()
    (fake / "python3").write_text("#!/bin/sh\ncase $2 in -c) case $3 in *cli*) env;; esac;; esac\n")
    (fake / "python3").chmod(0o755)
    path = {"PATH": f"{fake}:{site.env['PATH']}"}
    done = subprocess.run(
        [str(RUN_SH), str(script)], env=site.env | path | env, cwd=site.path, capture_output=True, text=True, check=True
    )
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def test_an_executable_with_a_first_line_keeps_its_own_interpreter(site: Site) -> None:
    script = site.main("#!/bin/sh\necho x\n", "backup.sh")
    script.chmod(0o755)
    seen = settings_of(site, script, VIRTUAL_ENV=sys.prefix)
    assert (seen["SCHED_MAIN"], seen.get("SCHED_PYTHON")) == (str(script), None)


def test_a_program_is_run_as_it_is(site: Site) -> None:
    program = site.path / "program"
    shutil.copy("/bin/true", program)
    assert "SCHED_PYTHON" not in settings_of(site, program, VIRTUAL_ENV=sys.prefix)


def test_a_script_that_is_not_executable_is_run_by_the_environment(site: Site) -> None:
    script = site.main("#!/usr/bin/env python3\nprint()\n")
    assert settings_of(site, script, VIRTUAL_ENV=sys.prefix)["SCHED_PYTHON"] == f"{sys.prefix}/bin/python"


def test_an_environment_that_is_gone_is_not_used(site: Site) -> None:
    script = site.main("print()")
    assert "SCHED_PYTHON" not in settings_of(site, script, VIRTUAL_ENV=str(site.path / "gone"))


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["backup.sh"], 1, "there is no script backup.sh"),
        (["."], 1, ". is no script"),
        (["a", "b"], 2, "one script, please"),
        (["--interval"], 2, "usage:"),
    ],
)
def test_what_it_cannot_run_is_refused_in_words(site: Site, arguments: list[str], status: int, said: str) -> None:
    done = call(site, *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert os.listdir(site.path) == []


def test_help_is_enough_to_learn_it(site: Site) -> None:
    done = call(site, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: " in done.stdout
    assert "SCRIPT" in done.stdout


@needs_libraries
def test_what_it_runs_can_be_looked_at_in_the_same_directory(site: Site, environment: Callable[[str], Path]) -> None:
    """Wherever the checkout is, and with the virtual environment of the script activated."""
    theirs = environment("theirs")
    site.env |= {"VIRTUAL_ENV": str(theirs), "PATH": f"{theirs}/bin:{site.env['PATH']}"}
    assert call(site, "--status").returncode == 3
    site.path.joinpath("main.py").write_text("print('here')\n")
    start(site, "main.py")
    site.await_runs()
    assert (found := call(site, "--status")).returncode == 0, found.stderr
    assert "run      1 succeeded" in found.stdout
    assert "✓ succeeded" in call(site, "--history").stdout
