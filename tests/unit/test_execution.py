import os
import subprocess

import pytest

from sched_runner.output.capture import Capture
from sched_runner.run.execution import Execution, NotStartedError
from sched_runner.run.sweeper import Sweeper
from sched_runner.settings import places, table


class NothingLeft(Sweeper):
    """Of a run that started nothing."""

    def begin(self):
        """Nothing is there."""

    def sweep(self):
        return {}, {}


def execution(directory, popen):
    settings, _ = table.load({}, places.here(directory))
    return Execution(settings, {"PATH": "/bin"}, Capture(7, []), NothingLeft(), stop=-1, popen=popen)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (BlockingIOError(11, "Resource temporarily unavailable"), "Resource temporarily unavailable"),
        (OSError(12, "Cannot allocate memory"), "Cannot allocate memory"),
        (ValueError("embedded null byte"), "embedded null byte"),
        (subprocess.SubprocessError("no such luck"), "no such luck"),
    ],
)
def test_what_keeps_a_process_from_starting_is_told_and_costs_no_descriptor(tmp_path, error, why):
    def popen(*_, **__):
        raise error

    (tmp_path / "main.py").touch()
    before = os.listdir("/proc/self/fd")
    made = execution(tmp_path, popen)
    with pytest.raises(NotStartedError, match=why):
        made.start()
    assert made.pid == 0
    assert os.listdir("/proc/self/fd") == before


def test_a_script_that_cannot_be_executed_is_not_given_to_the_process_maker(tmp_path):
    made = execution(tmp_path, lambda *_, **__: pytest.fail("it was"))
    with pytest.raises(NotStartedError, match=r"main\.py: No such file or directory"):
        made.start()


def test_main_py_gets_a_session_an_empty_stdin_and_its_own_directory(tmp_path):
    (tmp_path / "main.py").touch()
    found = {}

    def popen(line, **options):
        found.update(options, line=line)
        raise OSError(11, "enough is known")

    with pytest.raises(NotStartedError):
        execution(tmp_path, popen).start()
    assert found["line"][-1] == str(tmp_path / "main.py")
    assert found["line"][4:6] == [str(os.getpid()), str(found["pass_fds"][0])]
    assert (found["stdin"], found["start_new_session"]) == (subprocess.DEVNULL, True)
    assert (found["cwd"], found["env"]) == (tmp_path, {"PATH": "/bin"})


@pytest.mark.parametrize("junk", [b"", b"junk", b"9" * 16, b"-"])
def test_what_main_py_does_to_the_pipe_of_the_launcher_neither_holds_nor_breaks_the_run(tmp_path, junk):
    """The other end is still open, as if main.py had opened it by /proc, and has taken what was in it."""
    (tmp_path / "main.py").touch()
    kept = []

    def popen(_, **options):
        kept.append(os.dup(options["pass_fds"][0]))
        os.write(kept[0], junk)
        return subprocess.Popen(["true"])

    made = execution(tmp_path, popen)
    made.start()
    made._read_fault()
    assert made._exec_error == ""
    os.waitpid(made.pid, 0)
    made._opened.close()
    os.close(kept[0])
