"""main.py has the scheduler's own user: what it puts in the place of a log neither hangs nor leads anybody astray."""

import os
import stat
from pathlib import Path

import pytest
from harness import Command, Site, unprivileged_prefix, wait_until

NAMES = ["scheduler.log", "scheduler.err"]
SMALL = 1024 * 1024
# By the second run, in the place of the file $1; the others only fail, which both files tell.
PLANTS = {
    "a FIFO": "mkfifo $1",
    "a link to another file": "ln -s ../victim $1",
    "a link to nothing": "ln -s ../nothing $1",
    "a directory": "mkdir -p made && echo x >made/inside && mv -T made $1",
    "a link to a directory": "ln -s .. $1",
}


def planted(site: Site, name: str, plant: str) -> Command:
    site.shell(f"echo said; set -- scheduler/{name}; [ $SCHED_RUN != 2 ] || until {plant}; do rm -f $1; done; exit 3")
    (site.path / "victim").write_text("untouched\n")
    return site.start(SCHED_INTERVAL="500ms")


def text_of(path: Path) -> str:
    """Empty where no regular file stands, which may change at any moment."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        is_regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return os.pread(descriptor, 2 * SMALL, 0).decode() if is_regular else ""
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS.keys())
def test_what_is_planted_is_set_aside_and_the_log_goes_on_in_a_new_file(site: Site, name: str, plant: str) -> None:
    scheduler = planted(site, name, plant)
    file = site.own / name
    wait_until(lambda: "run 5 failed" in text_of(file), what="the log goes on")
    told = f"{file} is no regular file; it is kept as {file}.faulty"
    wait_until(lambda: told in text_of(site.own / "scheduler.log"))
    assert text_of(site.own / "scheduler.log").count(told) == 1
    assert (site.path / "victim").read_text() == "untouched\n"
    assert not (site.path / "nothing").exists()
    assert scheduler.stop() == 0


def test_what_is_planted_before_the_start_is_set_aside_too(site: Site) -> None:
    site.own.mkdir()
    for name in NAMES:
        (site.own / name).symlink_to(site.path / "victim")
    site.shell("exit 3")
    scheduler = site.start(SCHED_INTERVAL="1h")
    wait_until(lambda: all("run 1 failed" in text_of(site.own / name) for name in NAMES))
    assert scheduler.stop() == 0
    assert not (site.path / "victim").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_huge_sparse_file_is_rotated_away(site: Site, name: str) -> None:
    scheduler = planted(site, name, "truncate -s 1T $1")
    file = site.own / name
    wait_until(lambda: len(site.runs()) >= 5)
    wait_until(lambda: file.stat().st_size < SMALL and "run 5 failed" in text_of(file))
    assert scheduler.stop() == 0


@pytest.mark.parametrize(
    "plant",
    [
        "for n in 1 2 3 4 5; do mkdir -p $1.$n; echo x >$1.$n/inside; done",
        "for n in 1 2 3 4 5; do mkfifo $1.$n; done",
        "for n in 1 2 3 4 5; do ln -s ../victim $1.$n; done",
        "for n in 1 2 3 4 5; do truncate -s 1T $1.$n; done",
    ],
    ids=["directories", "FIFOs", "links", "sparse files"],
)
def test_the_log_is_rotated_whatever_stands_in_the_place_of_its_backups(site: Site, plant: str) -> None:
    site.shell(
        f"set -- scheduler/scheduler.log; [ $SCHED_RUN != 1 ] || {{ {plant}; }}; seq 100000 101000 | tr '\\n' '.'; yes x | head -c 500000"
    )
    (site.path / "victim").write_text("untouched\n")
    scheduler = site.start(SCHED_INTERVAL="300ms")
    site.await_runs(20, deadline=60)
    assert scheduler.stop() == 0
    assert (site.own / "scheduler.log").stat().st_size < SMALL
    backups = [site.own / f"scheduler.log.{number}" for number in range(1, 6)]
    assert all(path.is_file() and path.stat().st_size < SMALL for path in backups)
    assert (site.path / "victim").read_text() == "untouched\n"


@pytest.mark.parametrize("how", ["a FIFO", "a link to another file", "a directory"])
def test_what_is_planted_in_the_place_of_the_lock_is_set_aside(site: Site, how: str) -> None:
    scheduler = planted(site, "lock", PLANTS[how])
    wait_until(lambda: len(site.runs()) >= 4)
    wait_until(lambda: (site.own / "lock").is_file() and not (site.own / "lock").is_symlink())
    assert site.call("run").returncode == 75
    assert (site.path / "victim").read_text() == "untouched\n"
    assert scheduler.stop() == 0


@pytest.mark.parametrize("mode", ["0", "0444"])
def test_rights_that_main_py_took_away_keep_no_scheduler_from_starting(open_site: Site, mode: str) -> None:
    """Also the log goes on in its file, and the state is kept."""
    site = open_site
    site.shell(f"echo said; [ $SCHED_RUN != 1 ] || chmod {mode} scheduler/*")
    first = site.start(prefix=unprivileged_prefix(), SCHED_INTERVAL="1h")
    site.await_runs(1)
    assert first.stop() == 0
    assert stat.S_IMODE((site.own / "lock").stat().st_mode) == int(mode, 8)
    second = site.start(prefix=unprivileged_prefix(), SCHED_INTERVAL="1h")
    assert [run["number"] for run in site.await_runs(2)] == [1, 2]
    assert second.stop() == 0
    assert "stdout run 2 | said" in text_of(site.own / "scheduler.log")


DECOYS = """
import os, sys
if os.environ["SCHED_RUN"] == "2":
    lock = os.path.abspath("scheduler/lock")
    for _ in range(400):
        os.pwrite(os.open(lock, os.O_RDWR | os.O_CREAT), lock.encode(), 0)
        os.unlink(lock)
    sys.stdin = open(os.open("gate", os.O_RDONLY))
    sys.stdin.read()
"""


def test_any_number_of_files_that_pose_as_the_lock_cost_few_descriptors(site: Site) -> None:
    site.main(DECOYS, "main.py")
    os.mkfifo(site.path / "gate")
    scheduler = site.start(SCHED_INTERVAL="500ms")
    site.await_runs(1)
    with open(site.path / "gate", "w"):  # all decoys are open
        before = site.state()["skipped"]
        wait_until(lambda: site.state()["skipped"] > before + 1, what="the lock is made anew, and more has happened")
        assert len(os.listdir(f"/proc/{scheduler.pid}/fd")) < 60
    assert {run["outcome"] for run in site.await_runs(4)} == {"succeeded"}
    assert scheduler.stop() == 0
