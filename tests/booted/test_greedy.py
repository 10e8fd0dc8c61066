"""A script that takes all memory or all processes: the script is ended, and not the scheduler."""

from service import GATED

EATS_MEMORY = "hoard = []\nwhile True:\n    hoard.append(b'x' * 1_000_000)\n"
FORKS_ON_AND_ON = "import os, time\nwhile True:\n    if not os.fork():\n        time.sleep(600)\n"


def limits(machine, controller):
    """Whether this machine's systemd can limit memory or pids: a container has the controllers that its host gives."""
    return controller in machine.read("/sys/fs/cgroup/cgroup.controllers").split()


def survives(machine, service, script, drop_in):
    """A run of the script ends with an outcome of its own, and the next run is of the same scheduler."""
    service.drop_in(f"[Service]\n{drop_in}\n")
    service.settings(SCHED_INTERVAL="1h")
    service.script(script)
    service.start()
    pid = service.property("MainPID")
    assert service.wait_for_runs(1, timeout=60)[0] in ("failed", "killed")
    service.script("print('done')\n")
    service.trigger()
    assert service.wait_for_runs(2)[1] == "succeeded"
    assert service.property("MainPID") == pid
    assert service.processes() == [pid]


def test_scheduler_survives_a_script_that_takes_all_memory(machine, service):
    """Where the container has no memory controller: what systemd was told, see also the test of the scores."""
    if limits(machine, "memory"):
        survives(machine, service, EATS_MEMORY, "MemoryMax=150M\nMemorySwapMax=0")
    else:
        assert int(service.property("MemoryMax")) > 0
        assert service.property("OOMPolicy") == "continue"


def test_scheduler_survives_a_script_that_forks_on_and_on(machine, service):
    """Where the container has no pids controller: what systemd was told; tests/process has such a script."""
    if limits(machine, "pids"):
        survives(machine, service, FORKS_ON_AND_ON, "TasksMax=64")
    else:
        assert service.property("TasksMax") == "4096"


def test_kernel_takes_the_script_before_the_scheduler(machine, service):
    """By its scores, for no test may use up the memory of the host. A container may not lower them: there both are 0."""
    service.script(GATED)
    service.start()
    service.wait_for_run()
    machine.wait_until(lambda: machine.exists(f"{service.state}/gate"), 20, "main.py is going")
    scheduler = service.property("MainPID")
    scores = {pid: int(machine.read(f"/proc/{pid}/oom_score_adj")) for pid in service.processes()}
    assert service.property("OOMScoreAdjust") == "-500"
    assert scores.pop(scheduler) in (-500, 0)
    assert list(scores.values()) == [0]
