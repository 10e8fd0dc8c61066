"""Full disks, directories that go away: the schedule goes on, main.py is not blocked, what was lost is told once."""

import os
import re
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from harness import Command, Site, tmpfs_prefix, unprivileged_prefix, wait_until

INTERVAL = {"SCHED_INTERVAL": "300ms"}


class Small:
    """A scheduler whose log or state directory is a tiny file-system of its own."""

    def __init__(self, site: Site, which: str, options: str) -> None:
        self.site = site
        directory = site.path / which
        other = site.path / ("state" if which == "log" else "log")
        directory.mkdir()
        other.mkdir()
        env = {"SCHED_LOG_DIR": str(site.path / "log"), "SCHED_STATE_DIR": str(site.path / "state")}
        self.scheduler = site.start(prefix=tmpfs_prefix({directory: options}), **INTERVAL, **env)
        wait_until(lambda: self.runs() >= 2)
        self.full = self.inside(which)

    def inside(self, which: str) -> Path:
        """The directory as the scheduler sees it."""
        return Path(f"/proc/{self.scheduler.pid}/root{self.site.path / which}")

    def runs(self) -> int:
        return len(self.site.times())

    def fill(self) -> None:
        with open(self.full / "fill", "ab", buffering=0) as file:
            for size in (4096, 1):
                try:
                    while file.write(b"x" * size):
                        pass
                except OSError:
                    pass

    def use_up_inodes(self) -> None:
        for number in range(1000):
            try:
                (self.full / f"fill{number}").touch()
            except OSError:
                return
        pytest.fail("there is no end of inodes")

    def until_told(self, use_up: Callable[[], None], name: str) -> None:
        """Use up what there is until the scheduler cannot write the file: one that it was replacing gives room again."""

        def is_told() -> bool:
            use_up()
            return f"{name} cannot be written" in self.log()

        wait_until(is_told)

    def empty(self) -> None:
        for path in self.full.glob("fill*"):
            path.unlink()

    def log(self) -> str:
        names = [f"scheduler.log.{n}" for n in range(5, 0, -1)] + ["scheduler.log"]
        files = [self.inside("log") / name for name in names]
        return "".join(path.read_text() for path in files if path.exists())

    def go_on(self, count: int) -> None:
        """Wait for so many more runs; the schedule is on time."""
        before, began = self.runs(), time.monotonic()
        wait_until(lambda: self.runs() >= before + count)
        assert time.monotonic() - began < count * 0.3 + 2, "the schedule was held up"


def whole(log: str) -> None:
    torn = [line for line in log.split("\n")[:-1] if not re.match(r"\d{4}-\d\d-\d\dT\S+ \S+ ", line)]
    # After a full disk a line may end early; the next begins on a line of its own.
    assert torn == []
    assert not re.search(r"\S\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", log), "two lines were merged"


def told_once(log: str, file: str) -> None:
    assert len(re.findall(rf"{file} cannot be written", log)) <= 1
    assert len(re.findall(rf"{file} can be written again", log)) == 1


LONG = "x" * 3000
RECORD = "read now rest </proc/uptime; echo $now >>times; echo out $SCHED_RUN; echo err $SCHED_RUN >&2"


@pytest.mark.usefixtures("mounts")
def test_a_full_disk_under_the_log_stops_neither_schedule_nor_main_py_and_recovery_is_told(site: Site) -> None:
    site.shell(f"{RECORD}; echo {LONG}")
    small = Small(site, "log", "size=64k")
    small.fill()
    small.go_on(5)
    assert LONG not in small.log().splitlines()[-1]
    small.empty()
    wait_until(lambda: "can be written again" in small.log())
    small.go_on(2)
    wait_until(lambda: f"| out {small.runs() - 1}" in small.log())
    assert small.scheduler.stop() == 0


@pytest.mark.usefixtures("mounts")
def test_after_a_full_disk_the_log_has_whole_lines_and_says_how_many_were_lost(site: Site) -> None:
    site.shell(f"{RECORD}; echo {LONG}")
    small = Small(site, "log", "size=64k")
    small.fill()
    small.go_on(5)
    small.empty()
    wait_until(lambda: "can be written again" in small.log())
    small.go_on(2)
    log = small.log()
    whole_but_for_the_cut(log)
    told_once(log, "scheduler.log")
    lost = int(re.search(r"scheduler.log can be written again; (\d+) lines? lost", log)[1])  # type: ignore[index]
    assert lost >= 5


def whole_but_for_the_cut(log: str) -> None:
    assert not re.search(r"\S\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}", log), "two lines were merged"
    odd = [line for line in log.splitlines() if not re.match(r"\d{4}-\d\d-\d\dT\S+ (\S+ )", line)]
    assert len(odd) <= 1, odd


@pytest.mark.usefixtures("mounts")
def test_a_log_without_inodes_left_goes_on_in_the_file_that_is_open(site: Site) -> None:
    site.shell(RECORD)
    small = Small(site, "log", "size=1m,nr_inodes=8")
    small.use_up_inodes()
    before = small.runs()
    small.go_on(4)
    wait_until(lambda: f"| out {before + 2}" in small.log())
    whole(small.log())


@pytest.mark.usefixtures("mounts")
def test_a_full_disk_under_the_state_stops_nothing_and_the_marker_is_never_half_or_empty(site: Site) -> None:
    site.shell(RECORD)
    small = Small(site, "state", "size=64k")
    marker = small.full / "last_success.txt"
    wait_until(marker.exists)
    small.until_told(small.fill, "state.json")
    stuck = datetime.fromisoformat(marker.read_text().strip())
    before = small.runs()
    seen = set()
    while small.runs() < before + 5:
        seen.add(marker.read_text())
        assert datetime.fromisoformat(marker.read_text().strip()) >= stuck
    assert all(text.endswith("\n") for text in seen)
    small.empty()
    old = marker.read_text()
    wait_until(lambda: marker.read_text() != old, 5)
    wait_until(lambda: "state.json can be written again" in small.log())
    assert len(re.findall("state.json cannot be written", small.log())) == 1
    assert len(re.findall("state.json can be written again", small.log())) == 1


@pytest.mark.usefixtures("mounts")
def test_the_marker_that_cannot_be_written_is_told_once_and_not_at_every_run(site: Site) -> None:
    site.shell(RECORD)
    small = Small(site, "state", "size=64k")
    wait_until((small.full / "last_success.txt").exists)
    small.until_told(small.fill, "last_success.txt")
    small.go_on(5)
    assert len(re.findall("last_success.txt cannot be written", small.log())) == 1


@pytest.mark.usefixtures("mounts")
def test_a_state_without_inodes_left_stops_nothing(site: Site) -> None:
    site.shell(RECORD)
    small = Small(site, "state", "size=1m,nr_inodes=8")
    small.until_told(small.use_up_inodes, "state.json")
    small.go_on(4)
    datetime.fromisoformat((small.full / "last_success.txt").read_text().strip())
    small.empty()
    wait_until(lambda: "state.json can be written again" in small.log())


def goes_on(site: Site, count: int = 3) -> None:
    before = len(site.times())
    wait_until(lambda: len(site.times()) >= before + count)


def started(site: Site, prefix: list[str] | None = None) -> Command:
    site.shell(RECORD)
    env = {"SCHED_LOG_DIR": str(site.path / "log"), "SCHED_STATE_DIR": str(site.path / "scheduler")}
    scheduler = site.start(prefix=prefix or [], **INTERVAL, **env)
    site.await_runs(2)
    return scheduler


def test_a_removed_log_directory_is_made_again_and_no_run_is_held_up(site: Site) -> None:
    scheduler = started(site)
    directory = site.path / "log"
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    goes_on(site)
    wait_until(
        lambda: (directory / "scheduler.log").exists() and b"| out " in (directory / "scheduler.log").read_bytes()
    )
    assert scheduler.stop() == 0


def test_a_log_directory_that_becomes_a_file_stops_nothing_and_is_told_when_it_is_back(site: Site) -> None:
    scheduler = started(site)
    directory = site.path / "log"
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    directory.write_text("in the way")
    goes_on(site, 4)
    assert directory.read_text() == "in the way"
    directory.unlink()
    wait_until(lambda: (directory / "scheduler.log").exists() and "again" in (directory / "scheduler.log").read_text())
    log = (directory / "scheduler.log").read_text()
    whole(log)
    told_once(log, "scheduler.log")
    assert scheduler.stop() == 0


def test_a_log_directory_made_read_only_goes_on_in_the_open_file_and_loses_nothing(open_site: Site) -> None:
    site = open_site
    scheduler = started(site, unprivileged_prefix())
    directory = site.path / "log"
    directory.chmod(0o500)
    try:
        before = len(site.times())
        goes_on(site, 4)
        log = directory / "scheduler.log"
        wait_until(lambda: f"| out {before + 2}" in log.read_text())
        numbers = [int(n) for n in re.findall(r"\| out (\d+)", log.read_text())]
        assert numbers == list(range(1, len(numbers) + 1))
        assert scheduler.stop() == 0
    finally:
        directory.chmod(0o700)


def test_a_full_log_in_a_read_only_directory_grows_rather_than_lose_lines(open_site: Site) -> None:
    site = open_site
    scheduler = started(site, unprivileged_prefix())
    directory = site.path / "log"
    directory.chmod(0o500)
    try:
        site.main("echo begin; seq 100000 | sed 's/$/ xxxxxxxxxxxxxxxxxxxx/'; echo end; echo 1 >>after")
        site.await_file("after")
        wait_until(lambda: "| end" in (directory / "scheduler.log").read_text())
        text = (directory / "scheduler.log").read_text().partition("| begin\n")[2].partition("| end\n")[0]
        assert [int(n) for n in re.findall(r"\| (\d+) x", text)] == list(range(1, 100001))
        assert scheduler.stop() == 0
    finally:
        directory.chmod(0o700)


def test_a_log_directory_that_can_never_be_written_does_not_keep_main_py_from_running(site: Site) -> None:
    (site.path / "log").write_text("a file")
    site.shell(RECORD)
    scheduler = site.start(**INTERVAL, SCHED_LOG_DIR=str(site.path / "log"))
    wait_until(lambda: len(site.times()) >= 3)
    assert scheduler.stop() == 0


def test_a_removed_state_directory_stops_nothing(site: Site) -> None:
    started(site)
    number = site.state()["number"]
    site.own.rename(site.path / "removed")
    goes_on(site, 4)
    wait_until(lambda: site.state().get("number", 0) > number, what="the state is written anew, and its numbers go on")
    numbers = [run["number"] for run in site.runs()]
    assert numbers == list(range(1, len(numbers) + 1)), "a number was given twice"


def test_last_success_is_never_half_or_empty_for_one_who_reads_it_all_the_time(site: Site) -> None:
    site.shell(":")
    site.start(SCHED_INTERVAL="100ms")
    wait_until(site.marker.exists)
    seen: list[datetime] = []
    while len(set(seen)) < 15:
        text = site.marker.read_text()
        assert text.endswith("\n")
        when = datetime.fromisoformat(text.strip())
        assert when.tzinfo is not None
        seen.append(when)
    assert seen == sorted(seen)


def test_a_reader_of_state_json_never_sees_half_of_it(site: Site) -> None:
    site.shell("echo x")
    site.start(SCHED_INTERVAL="100ms")
    site.await_runs(1)
    while len(site.runs()) < 10:
        assert site.state()["number"] >= 1


def test_the_files_are_for_owner_and_group_alone_whatever_the_umask(site: Site) -> None:
    site.main("print('x'); raise SystemExit(1)")
    for mask in (0o000, 0o077):
        old = os.umask(mask)
        try:
            assert site.call("once", "--here").returncode == 1
        finally:
            os.umask(old)
        files = [path for path in site.own.iterdir() if path.is_file()]
        modes = {path.name: path.stat().st_mode & 0o777 for path in files}
        assert modes.pop("lock") == 0o600, "who may open it may hold it"
        assert set(modes.values()) == {0o640}
        assert site.own.stat().st_mode & 0o027 == 0 or mask == 0o077
