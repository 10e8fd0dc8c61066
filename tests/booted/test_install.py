"""install.sh and uninstall.sh on a server as bare as a new one."""

import pytest
from machine import BARE, Machine
from service import CHECKOUT, GATED, SOURCE, Service, install, wait_for_end
from traces import files, users

INSTALL = f"{SOURCE}/deploy/install.sh"
UNINSTALL = f"{SOURCE}/deploy/uninstall.sh"


@pytest.fixture(scope="module")
def bare(release):
    """A bare machine with the host's network and the checkout; install.sh has not run."""
    with Machine(release, packages=BARE, network=True) as machine:
        yield machine


def test_bare_server_gets_a_working_service(bare):
    install(bare)
    bare.run("systemctl enable --now main-scheduler")
    assert Service(bare).property("ActiveState") == "active"
    assert bare.run("systemctl is-enabled main-scheduler").stdout == "enabled\n"


def test_purge_leaves_nothing(machine):
    machine.run([UNINSTALL, "--purge"])
    before, users_before = files(machine), users(machine)

    machine.run(INSTALL)
    machine.write("/etc/default/main-scheduler@reports", "SCHED_ENV=test\n")
    machine.run("install -D -m 755 /opt/main-scheduler/main.py /opt/main-scheduler/reports/main.py")
    Service(machine).drop_in("memory.conf")
    Service(machine).drop_in("secret.conf")
    machine.write("/etc/main-scheduler/smtp-password", "secret\n", 0o600)
    machine.run("systemctl set-property main-scheduler CPUWeight=50")
    machine.run("systemctl enable --now main-scheduler main-scheduler@reports")
    machine.run("systemctl enable --now main-scheduler-alert.path main-scheduler-alert@reports.timer")
    assert files(machine) != before
    machine.run("rm -r /opt/main-scheduler/reports")  # the user's own

    machine.run([UNINSTALL, "--purge"])
    assert files(machine) == before
    assert users(machine) == users_before
    assert not machine.exists("/run/main-scheduler")
    assert machine.run("systemctl list-units --all --plain --no-legend 'main-scheduler*'").stdout == ""

    machine.run([UNINSTALL, "--purge"])  # again, with nothing there
    machine.run(INSTALL)


def test_purge_keeps_a_script_of_the_users(machine, service):
    service.script("print('mine')\n")
    said = machine.run([UNINSTALL, "--purge"]).stdout
    assert machine.read(service.script_file) == "print('mine')\n"
    assert "/opt/main-scheduler" in said
    machine.run(INSTALL)


# What main.py can leave in the place of itself, once its directory is its user's.
LEFT_IN_ITS_PLACE = {
    "a pipe": "mkfifo main.py",
    "a link to a pipe": "mkfifo pipe && ln -s pipe main.py",
    "a link to what never ends": "ln -s /dev/zero main.py",
    "a link to a file of root's": "ln -s /srv/kept/file main.py",
    "a directory": "mkdir main.py",
}


@pytest.fixture
def kept(machine):
    """A file of root's that nobody may touch."""
    machine.run("mkdir -p /srv/kept && echo precious > /srv/kept/file && chmod 600 /srv/kept/file")
    yield "/srv/kept/file"
    machine.run("rm -rf /srv/kept")


@pytest.mark.parametrize("left", LEFT_IN_ITS_PLACE)
def test_purge_neither_waits_for_nor_follows_what_is_in_the_place_of_main_py(machine, kept, left):
    machine.run("rm /opt/main-scheduler/main.py; chown main-scheduler: /opt/main-scheduler")
    machine.run(f"cd /opt/main-scheduler && {LEFT_IN_ITS_PLACE[left]}", user="main-scheduler")
    machine.run("mkdir -p /var/lib/main-scheduler-alert /var/lib/main-scheduler-alert@reports")
    machine.run(["timeout", "20", UNINSTALL, "--purge"])
    assert machine.run("ls -d /var/lib/main-scheduler*", check=False).stdout == ""
    assert machine.run(["getent", "passwd", "main-scheduler"], check=False).stdout == ""
    assert machine.read(kept) == "precious\n"
    assert machine.run("ls /opt/main-scheduler").stdout != ""
    machine.run(f"rm -r /opt/main-scheduler && {INSTALL}")


def test_purge_follows_nothing_that_is_in_the_directories_of_the_script(machine, service, kept):
    """Links, pipes, names with line breaks and blanks, and a path longer than a path may be."""
    service.script(
        "import os\n"
        "for directory in os.environ['STATE_DIRECTORY'], os.environ['LOGS_DIRECTORY']:\n"
        "    os.chdir(directory)\n"
        "    os.symlink('/srv/kept', 'link')\n"
        "    os.symlink('/srv/kept/file', 'x\\n/srv/kept'.replace('/', '|'))\n"
        "    os.mkfifo('pipe')\n"
        "    os.mkdir('-rf /srv/kept'.replace('/', '|'))\n"
        "    for _ in range(100):\n"
        "        os.mkdir('d' * 100)\n"
        "        os.chdir('d' * 100)\n"
    )
    service.start()
    assert service.wait_for_runs(1) == ["succeeded"], service.log()
    machine.run(["timeout", "20", UNINSTALL, "--purge"])
    assert machine.read(kept) == "precious\n"
    assert machine.run("find /var/lib /var/log -maxdepth 1 -name 'main-scheduler*'").stdout == ""
    machine.run(f"rm -rf /opt/main-scheduler; {INSTALL}")


def test_purge_removes_a_link_in_the_place_of_a_directory_and_names_where_it_led(machine):
    machine.run("mkdir -p /srv/state && touch /srv/state/kept && ln -s /srv/state /var/lib/main-scheduler")
    said = machine.run([UNINSTALL, "--purge"]).stdout
    assert "left, for the link to it was yours: /srv/state\n" in said
    assert machine.run("ls -d /var/lib/main-scheduler*", check=False).stdout == ""
    machine.run(f"rm /srv/state/kept && rmdir /srv/state && {INSTALL}")


def test_purge_goes_on_where_the_account_has_a_process_elsewhere_and_names_it(machine):
    machine.run("systemd-run --unit=elsewhere --uid=main-scheduler sleep 600")
    purged = machine.run([UNINSTALL, "--purge"], check=False)
    assert purged.returncode == 1
    assert "account:main-scheduler" in purged.stderr
    assert not machine.exists("/usr/local/bin/main-scheduler")
    assert not machine.exists("/etc/default/main-scheduler")
    machine.run("systemctl stop elsewhere")
    machine.run([UNINSTALL, "--purge"])
    assert machine.run(["getent", "passwd", "main-scheduler"], check=False).stdout == ""
    machine.run(INSTALL)


@pytest.mark.parametrize(("address", "told"), [("169.254.169.254", 1), ("fe80::1%eth0", 1), ("192.0.2.1", 0)])
def test_a_name_server_that_the_unit_may_not_reach_is_told(machine, address, told):
    with_it = f"mount --bind /tmp/resolv.conf /etc/resolv.conf && {INSTALL}"
    machine.write("/tmp/resolv.conf", f"nameserver {address}\n")
    machine.run("touch /etc/resolv.conf")
    said = machine.run(["unshare", "--mount", "sh", "-c", with_it]).stdout
    assert said.count("link-local.conf") == told


def test_links_that_lead_nowhere_are_kept(machine, service):
    for path in (service.script_file, service.settings_file):
        machine.run(f"ln -sf /srv/not-mounted/{path} {path}")
    machine.run(INSTALL)
    for path in (service.script_file, service.settings_file):
        assert machine.run(["readlink", path]).stdout == f"/srv/not-mounted/{path}\n"
    assert not machine.exists("/srv/not-mounted")


def test_no_sample_is_put_where_the_script_can_write(machine, service):
    """It could make a link of the name while root is at it."""
    machine.run(f"rm {service.script_file}; chown main-scheduler: /opt/main-scheduler")
    said = machine.run(INSTALL).stdout
    assert "no sample is put into /opt/main-scheduler" in said
    assert not machine.exists(service.script_file)


LOGROTATE = "/etc/logrotate.d/main-scheduler"
LOGROTATE_AS_SHIPPED = "/usr/local/share/main-scheduler/logrotate"


@pytest.fixture
def next_version(machine):
    """The checkout with another logrotate snippet."""
    snippet = f"{SOURCE}/deploy/logrotate/main-scheduler"
    machine.run(f"cp {snippet} /tmp/snippet && echo '# the next version' >> {snippet}")
    yield
    machine.run(f"cp /tmp/snippet {snippet} && rm -f {LOGROTATE} {LOGROTATE_AS_SHIPPED} && {INSTALL}")


def test_an_untouched_logrotate_snippet_is_upgraded(machine, next_version):
    said = machine.run(INSTALL).stdout
    assert machine.read(LOGROTATE).endswith("# the next version\n")
    assert LOGROTATE not in said


def test_an_edited_logrotate_snippet_is_kept_and_the_new_one_lies_elsewhere(machine, next_version):
    machine.run(f"sed -i 's/rotate 5/rotate 50/' {LOGROTATE}")
    edited = machine.read(LOGROTATE)
    for _ in range(2):  # the second time it is still an edited one
        said = machine.run(INSTALL).stdout
        assert machine.read(LOGROTATE) == edited
        assert machine.read(LOGROTATE_AS_SHIPPED).endswith("# the next version\n")
        assert LOGROTATE_AS_SHIPPED in said
        assert machine.run("ls /etc/logrotate.d | grep scheduler").stdout == "main-scheduler\n"
    machine.run(UNINSTALL)
    assert machine.read(LOGROTATE) == edited
    machine.run(INSTALL)
    assert machine.read(LOGROTATE) == edited


def test_a_logrotate_snippet_that_was_removed_or_replaced_by_a_link_stays_so(machine, next_version):
    machine.run(f"rm {LOGROTATE} && {INSTALL}")
    assert not machine.exists(LOGROTATE)
    machine.run(f"ln -s /dev/null {LOGROTATE} && {INSTALL}")
    assert machine.run(["readlink", LOGROTATE]).stdout == "/dev/null\n"


def test_all_folders_of_the_package_and_of_the_pages_are_installed(machine):
    machine.run(
        f"cd {SOURCE} && mkdir -p sched_runner/deep/deeper docs/deep && touch sched_runner/deep/notes.txt && "
        "for file in sched_runner/deep/one.py sched_runner/deep/deeper/two.py docs/deep/page.md; do echo > $file; done"
    )
    machine.run(INSTALL)
    machine.run(f"cd {SOURCE} && rm -r sched_runner/deep docs/deep")
    found = machine.run("cd /usr/local/lib/main-scheduler && find . -path './sched_runner/deep*' -type f | sort").stdout
    assert found.count(".pyc") == 2
    assert [line for line in found.split() if "__pycache__" not in line] == [
        "./sched_runner/deep/deeper/two.py",
        "./sched_runner/deep/one.py",
    ]
    assert machine.exists("/usr/local/share/doc/main-scheduler/docs/deep/page.md")
    machine.run(INSTALL)
    assert not machine.exists("/usr/local/lib/main-scheduler/sched_runner/deep")


def test_a_page_with_blanks_or_a_quote_in_its_name_is_a_page_and_nothing_else_is_removed(machine):
    """Such as an editor or a file manager leaves. A word of its name may be the name of a file in this directory."""
    pages = ("Copy of main.py.md", "Ana's.md")
    machine.run("mkdir /tmp/mine && echo mine >/tmp/mine/of")
    for page in pages:
        machine.write(f"{SOURCE}/docs/{page}", "mine\n")
    try:
        machine.run(f"cd /tmp/mine && {INSTALL}")
        found = machine.run("ls /usr/local/share/doc/main-scheduler/docs").stdout
        machine.run(f"cd /tmp/mine && {UNINSTALL}")
        assert machine.run("ls /tmp/mine").stdout == "of\n"
        assert [page for page in pages if page not in found] == []
        assert not machine.exists("/usr/local/lib/main-scheduler")
        assert not machine.exists("/usr/local/share/doc/main-scheduler")
    finally:
        machine.run(f"rm -r /tmp/mine; cd {SOURCE}/docs && rm 'Copy of main.py.md' \"Ana's.md\"; {INSTALL}")


def test_installing_again_changes_no_file(machine):
    before = files(machine)
    machine.run(INSTALL)
    machine.run(INSTALL)
    assert files(machine) == before


def test_installing_again_keeps_settings_and_script(machine, service):
    service.settings(SCHED_ENV="prod")
    service.script("print('mine')\n")
    machine.run(INSTALL)
    assert machine.read(service.settings_file) == "SCHED_ENV=prod\n"
    assert machine.read(service.script_file) == "print('mine')\n"


def test_settings_are_readable_for_the_service_only(machine, service):
    assert machine.run(["stat", "-c", "%a %U:%G", service.settings_file]).stdout == "640 root:main-scheduler\n"


def test_package_is_byte_compiled(machine):
    modules = machine.run("find /usr/local/lib/main-scheduler -name '*.py' | wc -l").stdout
    compiled = machine.run("find /usr/local/lib/main-scheduler -name '*.pyc' | wc -l").stdout
    assert modules == compiled != "0\n"


def test_the_start_does_not_search_for_plug_ins(machine):
    """It ends when all is imported, for want of a state directory."""
    program = """
import runpy, sys
sys.argv = ["main-scheduler", "run"]
try:
    runpy.run_path("/usr/local/bin/main-scheduler")
except SystemExit:
    print(*sys.modules)
"""
    started = ["env", "SCHED_STATE_DIR=/dev/null/state", "python3", "-I", "-c", program]
    imported = machine.run(["env", "--chdir=/tmp", *started]).stdout.split()
    assert "apscheduler.schedulers.blocking" in imported
    assert not {"pkg_resources", "asyncio", "ssl", "importlib.metadata"} & set(imported)


def test_installing_leaves_a_stopped_service_stopped(machine, service):
    machine.run(INSTALL)
    assert service.property("ActiveState") == "inactive"


def test_upgrade_restarts_what_is_up_after_the_run_in_progress(machine, service):
    service.script(
        "import os, time\nopen(os.environ['STATE_DIRECTORY'] + '/began', 'w')\n"
        "while not os.path.exists('/etc/may-end'): time.sleep(0.05)\n"
        "open(os.environ['STATE_DIRECTORY'] + '/ended', 'w')\n"
    )
    service.start()
    machine.wait_until(service.is_running, 20, "a run is going")
    pid = service.property("MainPID")

    machine.run(f"systemd-run --unit=upgrade {INSTALL}")
    machine.wait_until(lambda: "waiting" in machine.journal("--unit=upgrade"), 60, "install.sh waits")
    assert service.property("MainPID") == pid
    machine.write("/etc/may-end", "")
    machine.wait_until(lambda: service.property("MainPID") not in (pid, "0"), 30, "the service is restarted")
    machine.run("rm /etc/may-end")
    wait_for_end(machine, "upgrade")
    assert machine.exists(f"{service.state}/ended")


def test_upgrades_cut_no_run_however_close_the_next_one_is(machine, service):
    service.settings(SCHED_INTERVAL="100ms")
    service.script(
        "import os, time\nnotes = open(os.environ['STATE_DIRECTORY'] + '/notes', 'a', buffering=1)\n"
        "print('began', file=notes)\ntime.sleep(0.2)\nprint('ended', file=notes)\n"
    )
    service.start()
    for _ in range(5):
        pid = service.property("MainPID")
        machine.run(INSTALL)
        assert service.property("MainPID") not in (pid, "0")
    machine.wait_until(lambda: len(service.runs()) >= 10, 30, "runs after the last upgrade too")
    notes = machine.read(f"{service.state}/notes").splitlines()
    assert notes == (["began", "ended"] * len(notes))[: len(notes)]
    assert "interrupted" not in [run["outcome"] for run in service.runs()]


def test_upgrade_interrupts_nothing_where_it_cannot_see_a_run(machine, service):
    service.script(GATED)
    service.start()
    service.wait_for_run()
    pid = service.property("MainPID")
    machine.run(f"rm {service.state}/lock && ln -s /etc/passwd {service.state}/lock")
    upgraded = machine.run(INSTALL, check=False)
    assert upgraded.returncode == 1
    assert "cannot see whether a run is in progress" in upgraded.stderr
    assert "--now" in upgraded.stderr
    assert service.property("MainPID") == pid
    service.end_run()


def test_upgrade_sees_a_run_where_the_state_directory_is_another_by_now(machine, service):
    machine.run("install -d -o main-scheduler -g main-scheduler /srv/state")
    service.drop_in("[Service]\nReadWritePaths=/srv/state\nEnvironment=SCHED_STATE_DIR=/srv/state\n")
    service.script(GATED)
    service.start()
    machine.wait_until(lambda: machine.exists(f"{service.state}/gate"), 20, "a run is going")
    pid = service.property("MainPID")
    machine.run(f"systemd-run --unit=upgrade-elsewhere {INSTALL}")
    machine.wait_until(lambda: "waiting" in machine.journal("--unit=upgrade-elsewhere"), 60, "install.sh waits")
    assert service.property("MainPID") == pid
    service.end_run()
    machine.wait_until(lambda: service.property("MainPID") not in (pid, "0"), 30, "the service is restarted")
    wait_for_end(machine, "upgrade-elsewhere")
    machine.run("rm -r /srv/state")


def test_upgrade_now_restarts_during_a_run(machine, service):
    service.script("import time\ntime.sleep(600)\n")
    service.start()
    machine.wait_until(service.is_running, 20, "a run is going")
    pid = service.property("MainPID")
    machine.run([INSTALL, "--now"], timeout=60)
    assert service.property("MainPID") not in (pid, "0")


def test_upgrade_restarts_running_instances_too(machine, service, reports):
    reports.script("print('report')\n")
    reports.settings(SCHED_ENV="prod")
    reports.start()
    machine.wait_until(lambda: not reports.is_running(), 20, "the run is over")
    pid = reports.property("MainPID")
    machine.run(INSTALL)
    assert reports.property("MainPID") not in (pid, "0")
    assert service.property("ActiveState") == "inactive"


def test_uninstall_keeps_settings_logs_state_and_script(machine, service):
    service.settings(SCHED_ENV="prod")
    service.start()
    kept = [service.settings_file, service.script_file, service.logs, service.state]
    machine.run(UNINSTALL)
    assert [path for path in kept if not machine.exists(path)] == []
    assert machine.read(service.settings_file) == "SCHED_ENV=prod\n"
    assert not machine.exists("/usr/local/bin/main-scheduler")
    assert service.property("LoadState") == "not-found"
    assert machine.run(UNINSTALL).stdout.endswith("uninstall.sh: no installation was found\n")
    machine.run(INSTALL)


def listed():
    """Mode and path of each line of the list of files."""
    lines = [line.split() for line in (CHECKOUT / "deploy/files").read_text().splitlines() if line[:1] == "0"]
    return {f"{mode[1:]} {target if target[0] == '/' else f'/usr/local/{target}'}" for mode, _, target in lines}


def test_staging_root_gets_files_and_the_host_stays_as_it_was(machine):
    machine.run([UNINSTALL, "--purge"])
    before, users_before = files(machine), users(machine)
    machine.run(f"DESTDIR=/tmp/stage {INSTALL}")
    assert files(machine) == before
    assert users(machine) == users_before
    staged = set(machine.run("find /tmp/stage -type f -printf '%m /%P\\n'").stdout.splitlines())
    folders = {line for line in listed() if line.endswith("/")}
    assert listed() - folders <= staged
    assert [line for line in staged - listed() if not line.startswith(tuple(folders))] == []
    assert len(staged) > len(listed())
    assert "/tmp/stage" not in machine.run("grep -arl /tmp/stage /tmp/stage || true").stdout
    machine.run(f"rm -r /tmp/stage && {INSTALL}")


def test_refusal_elsewhere_names_what_is_missing(machine):
    """As on a distribution without apt and without the three libraries."""
    hide = (
        "mount --bind /dev/null /usr/bin/apt-get && chmod -x /usr/bin/apt-get; "
        "mkdir -p /tmp/empty && mount --bind /tmp/empty /usr/lib/python3/dist-packages && "
    )
    refused = machine.run(f"unshare --mount sh -c '{hide} PATH=/usr/sbin:/usr/bin {INSTALL}'", check=False)
    assert refused.returncode == 1
    assert "python3-apscheduler python3-systemd python3-dotenv" in refused.stderr


def test_the_man_pages_tool_is_asked_for_even_if_nothing_else_is_missing(machine):
    """As after ./deploy/run.sh, which installs the libraries; and without scdoc all else is installed."""
    machine.write("/tmp/bin/apt-get", '#!/bin/sh\necho "$@" >>/tmp/asked\nexit 100\n', 0o755)
    assert machine.run("command -v scdoc", check=False).stdout == ""
    said = machine.run(f"PATH=/tmp/bin:$PATH {INSTALL}").stdout
    machine.run("rm -r /tmp/bin")
    (asked,) = machine.read("/tmp/asked").splitlines()
    assert asked.endswith(" scdoc")
    assert "no man pages, for scdoc is not there" in said
    assert machine.run("main-scheduler --version").returncode == 0
    machine.run(f"rm /tmp/asked; {INSTALL}")


@pytest.fixture
def nothing_installed(machine):
    machine.run([UNINSTALL, "--purge"])
    yield machine
    machine.run(f"{UNINSTALL}; {INSTALL}")


@pytest.mark.parametrize("script", [INSTALL, f"{UNINSTALL} --purge"])
def test_beside_a_package_of_any_kind_the_scripts_refuse_and_change_nothing(nothing_installed, script):
    """Such as that of rpm."""
    machine = nothing_installed
    machine.write("/usr/lib/systemd/system/main-scheduler.service", "")
    machine.write("/etc/default/main-scheduler", "")
    before = files(machine)
    refused = machine.run(script, check=False)
    after = files(machine)
    machine.run("rm /usr/lib/systemd/system/main-scheduler.service /etc/default/main-scheduler")
    assert (refused.returncode, "is installed as a package" in refused.stderr) == (1, True)
    assert after == before


def test_below_another_prefix_all_is_found_and_taken_away(nothing_installed):
    machine = nothing_installed
    before, users_before = files(machine), users(machine)
    machine.run(f"PREFIX=/usr/ {INSTALL}")
    assert not {line for line in files(machine) if "/usr/local/" in line} - set(before)
    machine.run("systemctl start main-scheduler main-scheduler-alert.path")
    assert machine.run("readlink -f $(systemctl show -P FragmentPath main-scheduler)").stdout.startswith("/usr/lib/")
    assert Service(machine).wait_for_runs(1) == ["succeeded"]
    machine.run([UNINSTALL, "--purge"])
    assert files(machine) == before
    assert users(machine) == users_before


@pytest.mark.parametrize(
    ("prefix", "said"), [("/opt/here", "systemd finds units only below"), ("/usr", "is installed below /usr/local")]
)
def test_a_prefix_at_which_it_would_not_be_found_is_refused(machine, prefix, said):
    before = files(machine)
    refused = machine.run(f"PREFIX={prefix} {INSTALL}", check=False)
    assert refused.returncode == 1
    assert said in refused.stderr
    assert files(machine) == before


@pytest.mark.parametrize("script", [INSTALL, UNINSTALL])
def test_help_and_wrong_options(machine, script):
    assert machine.run([script, "--help"]).stdout.startswith("Usage: sudo ./deploy/")
    assert machine.run([script, "--wrong"], check=False).returncode == 2


def test_needrestart_leaves_the_units_alone(machine):
    """Read the way needrestart does: the last pattern that matches a unit's name decides."""
    program = """
        our %nrconf = (override_rc => {});
        eval do { local (@ARGV, $/) = "/etc/needrestart/conf.d/main-scheduler.conf"; <> };
        for my $unit (@ARGV) {
            print "$unit ", join(",", map { $nrconf{override_rc}{$_} } grep { $unit =~ /$_/ } keys %{$nrconf{override_rc}}), "\\n";
        }
    """
    units = ["main-scheduler.service", "main-scheduler@reports.service", "cron.service"]
    said = machine.run(["perl", "-e", program, *units]).stdout
    assert said == "main-scheduler.service 0\nmain-scheduler@reports.service 0\ncron.service \n"
