"""Small things that no other test would miss if they went: each is here with what an operator would see then."""

import os
import signal

from faults import FSYNC
from harness import Site, Supervisor, wait_until

NEVER = {"SCHED_INTERVAL": "1h"}


def test_no_status_is_told_after_a_stop_began_but_that_it_stops(site: Site, supervisor: Supervisor) -> None:
    site.use("print_signals.py")
    scheduler = site.start(**NEVER, NOTIFY_SOCKET=supervisor.address, SCHED_STOP_GRACE="500ms")
    wait_until(lambda: site.output() == b"ready\n")
    scheduler.signal(signal.SIGTERM)
    supervisor.await_message("STOPPING=1")
    wait_until(lambda: site.output() == b"ready\nTERM\n")
    for _ in range(5):
        scheduler.signal(signal.SIGUSR1)  # its loop turns
    assert scheduler.wait() == 0
    lines = "\n".join(supervisor.receive(0.2)).split("\n")
    assert {line for line in lines if line.startswith("STATUS=")} == {"STATUS=stopped"}


def test_a_run_that_ended_before_its_time_out_has_not_timed_out_however_late_that_is_noticed(site: Site) -> None:
    site.shell("exit 7")
    patch = """
        import faults, os, time
        def around(original, self):
            if not os.path.exists("late"):
                open("late", "w").close()
                while open(f"/proc/{self.pid}/stat").read().rpartition(")")[2].split()[0] != "Z":
                    time.sleep(0.01)
                while time.monotonic() < self.deadline + 0.1:
                    time.sleep(0.01)
            return original(self)
        faults.wrap("sched_runner.run.execution:Execution._is_over", around)
    """
    site.start(patch=patch, **NEVER, SCHED_TIMEOUT="1s")
    run = site.await_runs()[0]
    assert (run["outcome"], run["exit_status"]) == ("failed", 7)


def test_a_run_that_ends_while_the_scheduler_looks_up_from_its_wait_has_not_timed_out(site: Site) -> None:
    site.shell("exit 7")
    patch = """
        import faults, os, time
        class Late:
            def __init__(self, poller):
                self.registered, self._poller, self.unregister = [], poller, poller.unregister
            def register(self, descriptor, events):
                self.registered.append(descriptor)
                self._poller.register(descriptor, events)
            def poll(self, wait=None):
                kinds = {os.readlink(f"/proc/self/fd/{descriptor}"): descriptor for descriptor in self.registered[:5]}
                process = kinds.get("anon_inode:[pidfd]")
                if len(kinds) < 5 or process is None or os.path.exists("late"):
                    return self._poller.poll(wait)
                open("late", "w").close()
                timed_out = time.monotonic() + 1.0
                while process not in dict(self._poller.poll(10)) or time.monotonic() < timed_out:
                    time.sleep(0.01)
                return []  # all this came after the wait had ended
        faults.wrap("select:poll", lambda original: Late(original()))
    """
    site.start(patch=patch, **NEVER, SCHED_TIMEOUT="1s")
    run = site.await_runs()[0]
    assert (site.path / "late").exists()
    assert (run["outcome"], run["exit_status"]) == ("failed", 7)


def test_a_clean_start_is_fresh_and_one_after_a_crash_is_not(site: Site) -> None:
    site.main("")
    scheduler = site.start(**NEVER)
    site.await_runs()
    success = site.state()["fresh_boottime"]
    scheduler.kill()
    site.main("raise SystemExit(1)")
    scheduler = site.start(**NEVER)
    site.await_runs(2)
    assert site.state()["fresh_boottime"] == success
    assert scheduler.stop() == 0
    scheduler = site.start(**NEVER)
    site.await_runs(3)
    assert site.state()["fresh_boottime"] > success
    assert scheduler.stop() == 0


def test_the_state_is_durable_when_main_py_has_begun(site: Site) -> None:
    go = site.fifo("go")
    site.shell("read line <go")
    patch = f"""
        import faults, os
        def around(original, descriptor):
            with open("synced", "a") as file:
                file.write(os.readlink(f"/proc/self/fd/{{descriptor}}") + "\\n")
            return original(descriptor)
        faults.wrap({FSYNC!r}, around)
    """
    scheduler = site.start(patch=patch, **NEVER)
    wait_until(lambda: site.state().get("running"))
    wait_until(
        lambda: (site.path / "synced").read_text().splitlines()[-2:] == [f"{site.own}/state.json", str(site.own)]
    )
    go.write_text("\n")
    assert scheduler.stop() == 0


def test_a_run_that_is_interrupted_in_the_moment_that_its_state_is_saved_is_not_half_there(site: Site) -> None:
    """All that a run has changed stands in one save: who reads at any moment sees it going or ended, not both."""
    site.shell("exit 0")
    site.start(SCHED_INTERVAL="100ms")
    site.await_runs()
    while len(site.runs()) < 15:
        state = site.state()
        numbers = [run["number"] for run in state["runs"]]
        going = [state["running"]["number"]] if state["running"] else []
        assert numbers + going == list(range(1, state["number"] + 1))
        assert sum(state["outcomes"].values()) == len(numbers)
    assert os.getpid() not in site.processes.alive()
