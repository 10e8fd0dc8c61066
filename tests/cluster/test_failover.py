"""One schedule on three hosts, whatever happens to them. What ran when is read from what main.py itself wrote."""

import json
import time
from xml.etree import ElementTree

import pytest
from cluster import NODES, OWN_STATE, RESOURCE, SHARED, SHARED_STATE, SHIPPED, STOP_GRACE, UNIT, substitute
from machine import wait_until
from service import SOURCE


def others(name):
    return [node for node in NODES if node != name]


def stored(cluster):
    """The state that the hosts share."""
    return json.loads((cluster.shared / "state/state.json").read_text())


def stored_runs(cluster):
    """Number and outcome of the runs in it."""
    return {run["number"]: run["outcome"] for run in stored(cluster)["runs"]}


@pytest.mark.parametrize("cluster", [{"interval": 10}], indirect=True)
def test_a_node_that_dies_between_two_runs_costs_no_run_and_repeats_none(cluster, account):
    victim = cluster.place()
    last = cluster.wait_for_runs(1)[-1]
    boot = stored(cluster)["boot_id"]
    fault = time.monotonic()
    cluster[victim].cut_power()
    wait_until(lambda: any(cluster[node].is_up() for node in others(victim)), 30, "another node has taken over")
    taken_over = time.monotonic() - fault
    first = cluster.wait_for_start(fault)
    assert first.host != victim
    assert first.number == last.number + 1
    assert stored(cluster)["boot_id"] != boot  # so it went by the wall clock
    # In time, although the scheduler that made the run before is dead.
    assert taken_over < 10
    assert first.start - last.start == pytest.approx(10, abs=0.5)
    assert account("node killed while idle, before the next run is due", interval=10) == 0


def test_a_node_that_dies_between_two_runs_is_replaced(cluster, account):
    victim = cluster.place()
    cluster.wait_for_runs(1)
    fault = time.monotonic()
    cluster[victim].cut_power()
    first = cluster.wait_for_start(fault, elsewhere=victim)
    cluster.wait_for_runs(2, since=fault)
    assert account("node killed while idle", fault, first) == 0


@pytest.mark.parametrize(
    "cluster", [{"interval": 20, "more": "SCHED_RETRIES=2\nSCHED_RETRY_AFTER=10s\n"}], indirect=True
)
def test_a_retry_is_made_when_it_was_planned_by_the_node_that_takes_over(cluster):
    victim = cluster.place()
    fails = cluster.shared / "fails"
    fails.touch()
    try:
        cluster[victim].run("main-scheduler trigger")
        failed = cluster.wait_for_runs(2)[-1]
        wait_until(lambda: stored(cluster)["retry"], 10, "a retry is planned")
        fault = time.monotonic()
        cluster[victim].cut_power()
    finally:
        fails.unlink()
    again = cluster.wait_for_start(fault)
    assert again.host != victim
    assert again.start - failed.last == pytest.approx(10, abs=1)
    wait_until(lambda: again.number in stored_runs(cluster), 10, "it has ended")
    run = stored(cluster)["runs"][-1]
    assert (run["number"], run["attempt"], run["outcome"]) == (failed.number + 1, 2, "succeeded")


def test_a_node_that_dies_in_the_middle_of_a_run_leaves_no_lock(cluster, account):
    victim = cluster.place()
    run = cluster.wait_for_a_long_run()
    fault = time.monotonic()
    cluster[victim].cut_power()
    first = cluster.wait_for_start(fault)
    assert (run.host, first.host in others(victim)) == (victim, True)
    cluster.wait_for_runs(1, since=fault)
    assert stored_runs(cluster)[run.number] == "interrupted"
    assert account("node killed in the middle of a run", fault, first) == 0


def test_a_node_that_comes_back_disturbs_nothing(cluster, account):
    victim = cluster.place()
    cluster[victim].cut_power()
    place = cluster.place()
    cluster.reset_since()
    cluster[victim].power_on()
    cluster.wait_for_members(NODES)
    cluster.run("crm_resource --wait")
    runs = cluster.wait_for_runs(3, since=time.monotonic())
    assert {run.host for run in runs} == {place}
    assert cluster.places() == [place]
    assert cluster[victim].property(UNIT, "NRestarts") == "0"
    assert cluster[victim].property(UNIT, "ActiveEnterTimestamp") == ""
    assert account("the node comes back") == 0


def kill_scheduler(cluster, place):
    cluster[place].run("systemctl kill --kill-whom=main -s KILL main-scheduler")
    wait_until(lambda: not cluster[place].is_up(), 30, "it is down")


@pytest.fixture
def place(cluster):
    """Where the schedule is up. Pacemaker prefers this host a little.

    Otherwise all hosts are equal to it if, under load, it decides anew between a stop and the start that follows.
    """
    place = cluster.place()
    cluster.run(f"crm configure location prefer-one {RESOURCE} 10: {place}")
    yield place
    cluster.run("crm --force configure delete prefer-one")


def test_a_scheduler_that_is_killed_is_restarted_on_its_node(cluster, place, account):
    run = cluster.wait_for_a_long_run()
    fault = time.monotonic()
    kill_scheduler(cluster, place)
    first = cluster.wait_for_start(fault)
    assert (run.host, first.host) == (place, place)
    assert cluster.fail_count(place) == "1"
    assert account("scheduler killed in the middle of a run (restarted there)", fault, first) == 0


def test_a_scheduler_that_is_killed_again_and_again_is_moved(cluster, place, account):
    def has_failed_twice():
        kill_scheduler(cluster, place)
        wait_until(cluster[place].is_up, 30, "it is up again")
        cluster.run("crm_resource --wait")
        return cluster.fail_count(place) == "2"

    # A scheduler that is down at Pacemaker's first look after a clean-up counts as one that was never up.
    wait_until(has_failed_twice, 60, "two failures are counted")
    fault = time.monotonic()
    kill_scheduler(cluster, place)
    first = cluster.wait_for_start(fault)
    assert first.host in others(place)
    assert account("scheduler killed for the third time (moved)", fault, first) == 0


def test_a_move_gives_the_run_its_stop_grace(cluster, account):
    place = cluster.place()
    run = cluster.wait_for_a_long_run(when_asked=1.5)
    target = others(place)[0]
    fault = time.monotonic()
    cluster.run(f"crm resource move {RESOURCE} {target}")
    first = cluster.wait_for_start(fault)
    old = next(known for known in cluster.runs() if known.number == run.number)
    assert first.host == target
    assert old.ended  # by itself
    assert old.last - old.asked == pytest.approx(1.5, abs=0.3)
    assert stored_runs(cluster)[run.number] == "interrupted"
    cluster.run(f"crm resource clear {RESOURCE}")
    assert account("crm resource move in the middle of a run that takes 1.5 s to end", fault, first) == 0


def cut_off(cluster, place):
    """Gives when that was, the first run elsewhere, and for how long both schedulers were up."""
    fault = time.monotonic()
    cluster.network.unplug(place)
    wait_until(lambda: not cluster[place].is_on() or not cluster[place].processes(), 60, "it has stopped by itself")
    first = cluster.wait_for_start(fault, elsewhere=place)
    cluster.wait_for_runs(2, since=first.start)
    assert cluster.places() == [first.host]
    return fault, first, max(0.0, cluster[place].last_word() - cluster[first.host].when("ActiveEnterTimestamp"))


def test_a_node_that_is_cut_off_while_idle_stops_by_itself(cluster, account):
    place = cluster.place()
    cluster.wait_for_runs(1)
    fault, first, window = cut_off(cluster, place)
    assert window == 0
    assert account("node cut off while idle, with the lock on shared storage", fault, first) == 0


def test_a_node_that_is_cut_off_in_a_run_keeps_the_lock_until_it_has_stopped(cluster, account):
    place = cluster.place()
    cluster.wait_for_a_long_run(when_asked=60)
    fault, first, window = cut_off(cluster, place)
    assert window == 0
    assert account("node cut off in a run, with the lock on shared storage", fault, first) == 0


@pytest.mark.parametrize("cluster", [{"state": OWN_STATE}], indirect=True)
def test_without_fencing_and_lock_a_node_that_is_cut_off_in_a_run_overlaps_for_its_stop_grace(cluster, account):
    place = cluster.place()
    cluster.wait_for_a_long_run(when_asked=60)
    fault, first, window = cut_off(cluster, place)
    both = account(f"node cut off in a run, without lock and fencing (both up for {window:.1f} s)", fault, first)
    assert 0 < both < STOP_GRACE + 5
    assert both < window, "a scheduler is up for longer than its run"


@pytest.mark.parametrize("cluster", [{"state": OWN_STATE}], indirect=True)
def test_with_fencing_a_node_that_is_cut_off_in_a_run_is_dead_before_another_runs(cluster, account):
    place = cluster.place()
    cluster.wait_for_a_long_run(when_asked=60)
    with cluster.fencing() as fenced:
        fault, first, window = cut_off(cluster, place)
    assert fenced == [place]
    assert window == 0
    assert account("node cut off in a run, without lock, with fencing", fault, first) == 0


def test_where_both_others_are_cut_off_nothing_runs_until_they_are_back(cluster, account):
    place = cluster.place()
    cluster.wait_for_runs(1)
    for name in others(place):
        cluster.network.unplug(name)
    wait_until(lambda: not cluster.places(), 30, "all have stopped")
    stopped = time.monotonic()
    for name in NODES:
        assert cluster.members(name) == {name}
    assert cluster.runs(since=stopped) == []
    fault = time.monotonic()
    for name in others(place):
        cluster.network.plug(name)
    first = cluster.wait_for_start(fault)
    cluster.wait_for_runs(2, since=fault)
    assert account("both others cut off; from their return", fault, first) == 0


def test_status_on_any_node_says_where_it_runs(cluster):
    place = cluster.place()
    cluster.wait_for_runs(1)
    for name in others(place):
        told = cluster[name].run("main-scheduler status", check=False)
        assert (told.returncode, told.stdout.splitlines()[0].split(",")[0]) == (0, f"main-scheduler: up (on {place})")
        asked = cluster[name].run("main-scheduler trigger", check=False)
        assert (asked.returncode, asked.stderr) == (1, f"main-scheduler is running on {place}\n")
        member = "setpriv --reuid=nobody --regid=main-scheduler --clear-groups"
        told = cluster[name].run(f"{member} main-scheduler status", check=False)
        assert (told.returncode, told.stdout) == (4, "")
        assert f"only root can see whether main-scheduler is up on {place}" in told.stderr
    assert (
        f"up (process {cluster[place].property(UNIT, 'MainPID')})" in cluster[place].run("main-scheduler status").stdout
    )


@pytest.mark.parametrize("options", ["", "--now"])
def test_a_rolling_upgrade_with_install_sh_keeps_schedule_and_place(cluster, account, options):
    place = cluster.place()
    version = f"9.9.{len(options)}"
    if options:
        cluster.wait_for_a_long_run(when_asked=3)
    for name in NODES:
        cluster[name].write(f"{SOURCE}/sched_runner/__init__.py", f'"""The next one."""\n\n__version__ = "{version}"\n')
        pid = cluster[name].property(UNIT, "MainPID")
        cluster[name].run(f"{SOURCE}/deploy/install.sh {options}", timeout=120)
        assert (cluster[name].property(UNIT, "MainPID") != pid) is (name == place)
        assert cluster[name].run("main-scheduler --version").stdout == f"main-scheduler {version}\n"
    runs = cluster.wait_for_runs(3, since=time.monotonic())
    assert {run.host for run in runs} == {place}
    assert [cluster.fail_count(name) for name in NODES] == ["0", "0", "0"]
    assert account(f"rolling upgrade, install.sh {options}") == 0


def test_a_node_with_faulty_settings_is_passed_over(cluster, account):
    place = cluster.place()
    target = others(place)[0]
    cluster[target].write("/etc/default/main-scheduler", "SCHED_ENV=prdo\n")
    fault = time.monotonic()
    cluster.run(f"crm resource move {RESOURCE} {target}")
    first = cluster.wait_for_start(fault + 1)
    cluster.run("crm_resource --wait")
    assert first.host != target
    assert cluster.fail_count(target) == "INFINITY"
    assert cluster.place() != target
    assert account("moved to a node with faulty settings") == 0


REPORTS = "main-scheduler@reports"
REPORTS_MAIN = f"import os; print(os.uname().nodename, file=open('{SHARED}/reports', 'a'))"


def set_up_instance(node):
    settings = node.read("/etc/default/main-scheduler").replace(SHARED_STATE, f"{SHARED}/reports-state")
    node.write(f"/etc/default/{REPORTS}", settings, 0o644)
    node.write("/opt/main-scheduler/reports/main.py", REPORTS_MAIN, 0o755)
    node.run("""
        cd /etc/systemd/system
        cp -r main-scheduler.service.d main-scheduler@.service.d
        systemctl daemon-reload
    """)


def test_an_instance_is_a_resource_of_its_own(cluster):
    cluster.each(set_up_instance)
    crm = cluster.run("cat /root/main-scheduler.crm").stdout
    crm = substitute(crm, {"primitive .*:main-scheduler ": f"primitive main-scheduler-reports systemd:{REPORTS} "})
    cluster.run("crm configure load update -", input=crm)
    ran = cluster.shared / "reports"
    try:
        wait_until(ran.exists, 30, "the instance runs")
        place = ran.read_text().split()[-1]
        cluster[place].cut_power()
        wait_until(lambda: ran.read_text().split()[-1] != place, 30, "it runs elsewhere")
        up = [node for node in others(place) if cluster[node].property(REPORTS, "ActiveState") == "active"]
        assert up == [ran.read_text().split()[-1]]
    finally:
        cluster.run("crm --force configure delete main-scheduler-reports")


def resource_of(cib):
    """What a resource of a cluster's configuration is, in words that can be compared."""
    (primitive,) = ElementTree.fromstring(cib).iter("primitive")
    operations = sorted((op.get("name"), op.get("interval"), op.get("timeout")) for op in primitive.iter("op"))
    meta = sorted((pair.get("name"), pair.get("value")) for pair in primitive.find("meta_attributes"))
    properties = ElementTree.fromstring(cib).find(".//crm_config").iter("nvpair")
    chosen = sorted((pair.get("name"), pair.get("value")) for pair in properties)
    return primitive.get("id"), primitive.get("class"), primitive.get("type"), operations, meta, chosen


def test_crm_and_pcs_make_the_same_resource_of_what_is_shipped(cluster):
    node = cluster[NODES[0]]
    for name in ("main-scheduler.crm", "main-scheduler.pcs"):
        node.write(f"/root/shipped/{name}", (SHIPPED / name).read_text())
    node.run("""
        set -e
        cd /root/shipped
        cibadmin --empty > crm.xml
        cp crm.xml pcs.xml
        CIB_file=$PWD/crm.xml crm --force configure load update main-scheduler.crm
        sed 's/^pcs /pcs -f pcs.xml /' main-scheduler.pcs | sh -e
    """)
    made = resource_of(node.read("/root/shipped/crm.xml"))
    assert made[:3] == ("main-scheduler", "systemd", "main-scheduler")
    assert made == resource_of(node.read("/root/shipped/pcs.xml"))
