import os
import sys

import pytest

from sched_runner.record.run_record import Run
from sched_runner.run.command import command, environment
from sched_runner.settings import places, table
from sched_runner.troubles import said


@pytest.fixture
def site(tmp_path):
    """A directory with a main.py, and with programs in a PATH of its own."""
    return Site(tmp_path)


class Site:
    def __init__(self, directory):
        self.directory = directory
        self.main = directory / "main.py"
        self.bin = directory / "bin"
        self.bin.mkdir()

    def script(self, begin, *, executable):
        self.main.write_bytes(begin)
        self.main.chmod(0o755 if executable else 0o644)

    def program(self, name):
        (self.bin / name).touch(0o755)
        return str(self.bin / name)

    def command(self, **settings):
        return command(table.load(settings, places.here(self.directory))[0], {"PATH": str(self.bin)})

    def fault(self, **settings):
        with pytest.raises(OSError) as caught:  # noqa: PT011 - said() says more, and is what users read
            self.command(**settings)
        return said(caught.value)


@pytest.mark.parametrize(
    "begin", [b"#!/bin/sh\n", b"#! /bin/sh -e\n", b"#!/bin/sh", b"#!/usr/bin/env -S python9 -u\n", b"\x7fELF\x02\x01"]
)
def test_an_executable_that_names_its_interpreter_or_is_a_program_is_executed_as_it_is(site, begin):
    site.program("python9")
    site.script(begin, executable=True)
    assert site.command(SCHED_ARGS="-v 'a b'") == [str(site.main), "-v", "a b"]


@pytest.mark.parametrize(
    ("begin", "executable"),
    [
        (b"print(1)\n", False),
        (b"print(1)\n", True),
        (b"", True),
        (b"", False),
        (b"\xef\xbb\xbf#!/usr/bin/env python3\n", True),
        (b"\xef\xbb\xbfprint(1)\n", True),
        (b"#!/usr/bin/python3\n", False),
        (b"#!/usr/bin/env python3.12\n", False),
        (b"#!/opt/venv/bin/python -u\n", False),
        (b"#!\n", False),
    ],
)
def test_any_other_script_is_executed_by_the_scheduler_s_own_python(site, begin, executable):
    site.script(begin, executable=executable)
    assert site.command(SCHED_ARGS="-v") == [sys.executable, str(site.main), "-v"]


@pytest.mark.parametrize("begin", [b"#!/bin/sh\n", b"#!/none\n", b"#!/bin/sh\r\n", b"\x7fELF", b"print(1)\n"])
@pytest.mark.parametrize("executable", [True, False])
def test_the_interpreter_of_the_settings_always_wins(site, begin, executable):
    site.script(begin, executable=executable)
    python = site.program("python9")
    assert site.command(SCHED_PYTHON="python9") == [python, str(site.main)]
    assert site.command(SCHED_PYTHON="bin/python9") == [python, str(site.main)]


def test_an_interpreter_that_env_finds_is_looked_up_in_the_path_of_main_py(site):
    site.script(b"#!/usr/bin/env python9\n", executable=True)
    assert site.fault() == f"the first line of {site.main} names python9, which is not in PATH={site.bin}"
    site.program("python9")
    assert site.command() == [str(site.main)]


@pytest.mark.parametrize(
    ("begin", "why"),
    [
        (b"#!/opt/none/python\n", "names /opt/none/python, which is not there"),
        (b"#!python3\n", "names python3, which is not there"),
        (b"#!\n", "names nothing, which is not there"),
        (b"#!/bin/\0sh\n", "names /bin/\0sh, which is not there"),
        (b"#!/bin/sh\r\n", "has the line ends of Windows, also in its first line: sed -i 's/\\r$//'"),
        (b"#!/usr/bin/env python3\r\n", "has the line ends of Windows"),
        (b"#!/usr/bin/env -S python9 -u\n", "names python9, which is not in PATH="),
        (b"#!/tmp\n", "names /tmp, which cannot be executed"),
        (b"#!/etc/passwd -x\n", "names /etc/passwd, which cannot be executed"),
        (b"\xef\xbb\xbf#!/bin/sh\n", "begins with a byte order mark: sed -i '1s/^\\xEF\\xBB\\xBF//'"),
    ],
)
def test_a_first_line_that_the_kernel_would_refuse_is_named(site, begin, why):
    site.script(begin, executable=True)
    assert site.fault().removeprefix("the first line of ").startswith(f"{site.main} {why}")


@pytest.mark.parametrize(("begin", "named"), [(b"#!/bin/bash\n", "/bin/bash"), (b"#!/usr/bin/env perl\n", "perl")])
def test_a_script_of_another_language_that_is_not_executable_is_not_given_to_python(site, begin, named):
    site.script(begin, executable=False)
    assert site.fault() == f"{site.main} names {named} in its first line, but is not executable: chmod +x {site.main}"


def test_a_script_on_a_file_system_mounted_noexec_is_not_said_to_need_chmod(site, monkeypatch):
    site.script(b"#!/bin/bash\n", executable=False)
    found = os.statvfs_result((*os.statvfs("/")[:8], os.ST_NOEXEC, 255))
    monkeypatch.setattr(os, "statvfs", lambda path: found)
    assert "but lies on a file system mounted noexec: set SCHED_PYTHON=/bin/bash" in site.fault()


def test_a_script_that_is_not_there_is_named(site):
    assert site.fault() == f"{site.main}: No such file or directory"


def test_a_directory_in_the_place_of_the_script_is_named_and_costs_no_descriptor(site):
    site.main.mkdir()
    before = len(os.listdir("/proc/self/fd"))
    assert site.fault() == f"{site.main}: Is a directory"
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_fifo_in_the_place_of_the_script_is_not_waited_for(site):
    os.mkfifo(site.main)
    assert site.fault() == f"{site.main} is a pipe, which no script can be read from"


def test_an_interpreter_that_is_not_to_be_found_is_named(site):
    site.script(b"", executable=False)
    (site.directory / "plain").touch(0o644)
    faults = {name: site.fault(SCHED_PYTHON=name) for name in ("python9", "./none", "./bin", "./plain", "python9 -u")}
    assert faults == {
        "python9": f"the interpreter python9 is not in PATH={site.bin}",
        "./none": f"{site.directory}/none: No such file or directory",
        "./bin": f"the interpreter {site.directory}/bin is a directory",
        "./plain": f"the interpreter {site.directory}/plain may not be executed",
        "python9 -u": f"the interpreter python9 -u is not in PATH={site.bin}; SCHED_PYTHON takes no options",
    }


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"echo\n", "is a text and no program"),
        (b"#!/none\n", "cannot be executed itself: see its first line"),
        (b"#!\n", "cannot be executed itself: see its first line"),
    ],
)
def test_an_interpreter_that_the_kernel_would_refuse_is_named(site, content, why):
    site.script(b"", executable=False)
    program = site.program("python9")
    (site.bin / "python9").write_bytes(content)
    assert site.fault(SCHED_PYTHON="python9") == f"the interpreter {program} {why}"
    (site.bin / "python9").write_bytes(b"#!/bin/sh\n")
    assert site.command(SCHED_PYTHON="python9") == [program, str(site.main)]


def test_main_py_gets_the_environment_but_for_what_belongs_to_the_scheduler_alone():
    inherited = {
        "PATH": "/bin",
        "EMPTY": "",
        "INVOCATION_ID": "1",
        "NOTIFY_SOCKET": "/run/n",
        "WATCHDOG_USEC": "1",
        "WATCHDOG_PID": "1",
        "LISTEN_FDS": "1",
        "LISTEN_FDNAMES": "x",
        "LISTEN_PID": "1",
        "MAINPID": "1",
        "JOURNAL_STREAM": "1:2",
        "SYSTEMD_EXEC_PID": "1",
    }
    assert environment(inherited, table.load({"SCHED_ENV": "prod"}, places.installed())[0], Run(7)) == {
        "PATH": "/bin",
        "EMPTY": "",
        "INVOCATION_ID": "1",
        "PYTHONUNBUFFERED": "1",
        "SCHED_RUN": "7",
        "SCHED_ATTEMPT": "1",
        "SCHED_ENV": "prod",
    }


def test_a_user_who_wants_buffered_output_gets_it():
    settings, _ = table.load({}, places.installed())
    assert environment({"PYTHONUNBUFFERED": ""}, settings, Run(7))["PYTHONUNBUFFERED"] == ""
