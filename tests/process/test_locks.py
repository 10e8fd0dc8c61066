"""One scheduler and one run at a time, whatever somebody does to the lock file or its directory meanwhile."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Command, Site, wait_until

NEVER = {"SCHED_INTERVAL": "1h"}
WAITS = "echo 1 >>started; read line <go"


def remove(directory: Path) -> None:
    (directory / "lock").unlink()


def replace_by_an_empty_file(directory: Path) -> None:
    (directory / "new").touch()
    (directory / "new").replace(directory / "lock")


def replace_by_a_copy(directory: Path) -> None:
    shutil.copy2(directory / "lock", directory / "new")
    (directory / "new").replace(directory / "lock")


def rename(directory: Path) -> None:
    (directory / "lock").rename(directory / "lock.old")


def replace_by_a_fifo(directory: Path) -> None:
    (directory / "lock").unlink()
    os.mkfifo(directory / "lock")


def remove_directory(directory: Path) -> None:
    directory.rename(directory.with_name("removed"))  # for nobody writes into it meanwhile
    shutil.rmtree(directory.with_name("removed"))


def rename_directory(directory: Path) -> None:
    directory.rename(directory.with_name("renamed"))


WAYS = [
    remove,
    replace_by_an_empty_file,
    replace_by_a_copy,
    rename,
    replace_by_a_fifo,
    remove_directory,
    rename_directory,
]
EACH = pytest.mark.parametrize("lose", WAYS, ids=lambda way: way.__name__)
Lose = Callable[[Path], None]


def has_healed(site: Site, scheduler: Command) -> bool:
    """Whether the scheduler has the file open that is in its place now."""
    path = site.own / "lock"
    found = [f"/proc/{scheduler.pid}/fd/{name}" for name in scheduler.descriptors()]
    return path.is_file() and any(os.path.exists(name) and os.path.samefile(name, path) for name in found)


@EACH
def test_a_second_scheduler_is_refused_at_once_and_after_the_first_has_healed(site: Site, lose: Lose) -> None:
    site.fifo("go")
    site.shell(WAITS)
    first = site.start(**NEVER)
    site.await_file("started")
    lose(site.own)
    second = site.call("run")
    assert (second.returncode, str(first.pid) in second.stderr) == (75, True), "at once"
    first.signal(signal.SIGUSR1)  # its loop turns
    wait_until(lambda: has_healed(site, first))
    third = site.call("run")
    assert (third.returncode, str(first.pid) in third.stderr) == (75, True), "healed"
    assert (site.path / "started").read_text() == "1\n"
    assert first.stop() == 0


@EACH
def test_a_run_of_once_is_refused_while_the_scheduler_has_one_going(site: Site, lose: Lose) -> None:
    site.fifo("go")
    site.shell(WAITS)
    first = site.start(**NEVER)
    site.await_file("started")
    lose(site.own)
    assert site.call("once", "--here").returncode == 75
    assert (site.path / "started").read_text() == "1\n"
    assert first.stop() == 0


@EACH
def test_a_scheduler_neither_loses_nor_doubles_a_run_of_once(site: Site, lose: Lose) -> None:
    site.fifo("go")
    site.shell(f"[ $SCHED_RUN = 1 ] || exit 0; {WAITS}")
    once = site.start("once", "--here", **NEVER)
    site.await_file("started")
    lose(site.own)
    scheduler = site.start(**NEVER)
    wait_until(lambda: b"skipped a run: process %d is making a run" % once.pid in site.log())
    assert site.call("once", "--here").returncode == 75
    (site.path / "go").write_text("\n")
    assert once.wait() == 0
    assert b"was interrupted" not in site.log()
    assert scheduler.stop() == 0
    assert "interrupted" not in site.outcomes()


def test_a_due_run_is_skipped_while_once_has_one_going_under_a_new_lock(site: Site) -> None:
    site.fifo("go")
    site.shell('[ -z "$LONG" ] || { echo 1 >long; read line <go; }; echo 1 >>ended')
    scheduler = site.start(SCHED_INTERVAL="500ms")
    site.await_runs(2)
    remove(site.own)
    long = site.path / "long"

    def is_going() -> bool:
        once = site.start("once", "--here", LONG="yes")
        wait_until(lambda: once.process.poll() is not None or long.exists())
        return long.exists()

    wait_until(is_going)
    skipped, ended = site.state()["skipped"], (site.path / "ended").read_text()
    wait_until(lambda: site.state()["skipped"] >= skipped + 3)
    assert (site.path / "ended").read_text() == ended, "two at once"
    (site.path / "go").write_text("\n")
    assert scheduler.stop() == 0


@pytest.mark.parametrize("removing", [False, True], ids=["the lock stays", "the lock is removed again and again"])
def test_of_four_that_start_at_once_one_becomes_the_scheduler(site: Site, removing: bool) -> None:
    site.shell("exit 0")
    for _ in range(4):
        four = [site.start(**NEVER) for _ in range(4)]

        def settled(four: list[Command] = four) -> bool:
            if removing:
                (site.own / "lock").unlink(missing_ok=True)
            return sum(command.process.poll() is None for command in four) <= 1

        wait_until(settled)
        left = [command for command in four if command.process.poll() is None]
        assert left or removing, "nobody is the scheduler; whose lock is taken away just then may give up"
        assert {command.process.poll() for command in four if command not in left} == {75}
        for command in left:
            command.await_handlers()
            assert command.stop() in ({0, 75} if removing else {0})


@EACH
def test_who_begins_while_the_lock_is_made_anew_does_not_get_it(site: Site, lose: Lose) -> None:
    site.shell("exit 0")
    first = site.start(**NEVER)
    site.await_runs()
    lose(site.own)
    here, go = site.fifo("here"), site.fifo("go")
    patch = f"""
        import faults
        def around(original, descriptor, which):
            faults.wrap("sched_runner.record.lock:_holder", lambda _, *asked: original(*asked))
            open({str(here)!r}, "w").write("here\\n")
            open({str(go)!r}).read()
            return original(descriptor, which)
        faults.wrap("sched_runner.record.lock:_holder", around)
    """
    second = site.start(patch=patch, **NEVER)
    here.read_text()  # it has the lock of the new file, and has not looked for another yet
    first.signal(signal.SIGUSR1)  # its loop turns
    wait_until(lambda: has_healed(site, first))
    go.write_text("\n")
    assert second.wait() == 75
    third = site.call("run")
    assert (third.returncode, str(first.pid) in third.stderr) == (75, True)
    assert first.stop() == 0


# What two processes do to the state, one after the other


def test_an_update_of_one_process_waits_for_that_of_another(site: Site) -> None:
    site.main("")
    here, go = site.fifo("here"), site.fifo("go")
    blocked = f"""
        import faults
        def around(original, source, target):
            if str(source).endswith(".state.json.new") and "succeeded" in open(source).read():
                open({str(here)!r}, "w").write("here\\n")
                open({str(go)!r}).read()
            return original(source, target)
        faults.wrap(faults.REPLACE, around)
        from sched_runner.record import lock
        lock._UPDATE_LASTS = 60.0
    """
    other = """
        from pathlib import Path
        import faults
        from sched_runner.record import lock, store
        from sched_runner.record.state import State
        lock._UPDATE_LASTS = 60.0
        def around(original, self, which):
            taken = original(self, which)
            if not taken:
                Path("waits").touch()
            return taken
        faults.wrap("sched_runner.record.lock:LockFile.acquire", around)
        own = lock.LockFile(Path("scheduler"))
        store.Store(Path("scheduler"), own).update(State.skip_run)
        raise SystemExit(0)
    """
    once = site.start("once", "--here", patch=blocked)
    assert here.read_text() == "here\n"
    second = site.start(patch=other)
    wait_until(lambda: (site.path / "waits").exists() or second.process.poll() is not None)
    go.write_text("")
    assert (once.wait(), second.wait()) == (0, 0)
    assert (site.state()["skipped"], site.outcomes()) == (1, ["succeeded"]), "one has overwritten the other's"


def test_a_scheduler_that_starts_beside_once_takes_its_run_for_no_lost_one(site: Site) -> None:
    site.fifo("go")
    site.shell(f"[ $SCHED_RUN = 1 ] || exit 0; {WAITS}")
    once = site.start("once", "--here")
    site.await_file("started")
    scheduler = site.start(**NEVER)
    wait_until(lambda: b"skipped a run: process %d" % once.pid in site.log())
    assert site.runs() == []
    assert site.state()["running"]["number"] == 1
    (site.path / "go").write_text("\n")
    assert once.wait() == 0
    assert site.outcomes() == ["succeeded"]
    assert scheduler.stop() == 0
