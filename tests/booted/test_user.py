"""install.sh --user: the service of an ordinary user, in his own service manager and home."""

import contextlib
import json
from types import SimpleNamespace

import pytest
from service import SOURCE

USER = "ana"
HOME = f"/home/{USER}"
SETTINGS = f"{HOME}/.config/main-scheduler.env"
SCRIPT = f"{HOME}/.local/share/main-scheduler/main.py"
# The images have no libpam-systemd, which gives a session this variable.
RUNTIME_DIR = "[Service]\nEnvironment=XDG_RUNTIME_DIR=/run/user/%i\n"
FAILS = "[Service]\nExecStartPre=/bin/false\n"


@pytest.fixture
def ana(machine):
    """Types commands; her service manager is up, as it is for one who is logged in or lingers."""
    machine.write("/etc/systemd/system/user@.service.d/runtime-dir.conf", RUNTIME_DIR)
    machine.run(f"systemctl daemon-reload; useradd --create-home --shell /bin/sh {USER}")
    uid = machine.run(["id", "-u", USER]).stdout.strip()
    machine.run(["systemctl", "start", f"user@{uid}.service"])

    def run(*command, check=True):
        given = (f"HOME={HOME}", f"XDG_RUNTIME_DIR=/run/user/{uid}", f"PATH={HOME}/.local/bin:/usr/bin:/bin")
        return machine.run(["env", *given, *command], check=check, user=USER)

    yield SimpleNamespace(run=run, uid=uid)
    machine.run(
        f"systemctl stop user@{uid}.service; userdel --remove {USER}; rm -r /etc/systemd/system/user@.service.d"
    )


@pytest.fixture
def installed_by_her(ana):
    ana.run(f"{SOURCE}/deploy/install.sh", "--user")
    return ana


def status(ana, *arguments):
    return json.loads(ana.run("main-scheduler", "--user", "status", "--json", *arguments, check=False).stdout)


def units(ana):
    return ana.run("systemctl", "--user", "list-units", "--all", "--no-legend", "main-scheduler*").stdout


def start_and_wait(machine, ana, unit="main-scheduler", instance=()):
    ana.run("systemctl", "--user", "enable", "--now", unit)
    machine.wait_until(lambda: status(ana, *instance)["runs"], 30, f"a run of {unit}")


def files_outside_of_the_home(machine):
    return machine.run("find /etc /opt /usr /var/lib /var/log -newer /tmp/begin -name '*scheduler*'").stdout


def test_a_user_installs_starts_and_looks_without_root(machine, ana):
    machine.run("touch /tmp/begin")
    installs = (f"{SOURCE}/deploy/install.sh", "--user")
    assert "next: systemctl --user enable --now main-scheduler; then: main-scheduler" in ana.run(*installs).stdout
    machine.write(SCRIPT, "import os; print('in', os.getcwd(), 'with', os.environ['HOME'])\n")
    start_and_wait(machine, ana)
    assert status(ana)["health"] == "healthy"
    assert ana.run("main-scheduler", "--user", "check").returncode == 0
    assert "succeeded" in ana.run("main-scheduler", "--user", "history").stdout
    assert "every 1 min" in ana.run("main-scheduler", "--user", "list").stdout
    assert ana.run("main-scheduler", "--user", "once").stdout.count(f"in {SCRIPT.rpartition('/')[0]} with {HOME}") == 1
    assert machine.run(["stat", "-c", "%U", f"/proc/{status(ana)['pid']}"]).stdout == f"{USER}\n"
    assert files_outside_of_the_home(machine) == ""
    assert "next: main-scheduler --user status" in ana.run(*installs).stdout  # it is enabled and up


def test_the_settings_are_hers_and_a_reload_takes_them(machine, installed_by_her):
    ana = installed_by_her
    machine.write(SCRIPT, "")
    start_and_wait(machine, ana)
    machine.run(f"echo SCHED_INTERVAL=7h >>{SETTINGS}")
    ana.run("systemctl", "--user", "reload", "main-scheduler")
    machine.wait_until(lambda: status(ana)["every"] == "every 7 h", 20, "the new interval")
    machine.run(f"echo SCHED_INTERVALL=1h >>{SETTINGS}")
    assert ana.run("main-scheduler", "--user", "check", check=False).returncode == 78
    assert ana.run("systemctl", "--user", "reload", "main-scheduler", check=False).returncode != 0


def test_an_instance_of_hers_has_settings_and_a_script_of_its_own(machine, installed_by_her):
    ana = installed_by_her
    machine.write(f"{HOME}/.local/share/main-scheduler/reports/main.py", "raise SystemExit(3)")
    ana.run("sh", "-c", "echo SCHED_INTERVAL=2h >~/.config/main-scheduler@reports.env")
    start_and_wait(machine, ana, "main-scheduler@reports", ["reports"])
    found = status(ana, "reports")
    assert (found["runs"][0]["exit_status"], found["every"]) == (3, "every 2 h")
    listed = ana.run("main-scheduler", "--user", "list", check=False)
    assert listed.returncode == 1
    assert "main-scheduler@reports" in listed.stdout


def test_an_upgrade_leaves_settings_and_script_as_they_are(machine, installed_by_her):
    machine.write(SCRIPT, "print('mine')\n")
    machine.write(SETTINGS, "SCHED_ENV=prod\n")
    installed_by_her.run(f"{SOURCE}/deploy/install.sh", "--user")
    assert (machine.read(SCRIPT), machine.read(SETTINGS)) == ("print('mine')\n", "SCHED_ENV=prod\n")


def test_an_upgrade_takes_away_what_only_the_older_version_had(machine, installed_by_her):
    old = f"{HOME}/.local/share/doc/main-scheduler/old.md"
    installed_by_her.run("sh", "-c", f"touch {old}; echo {old} >>~/.local/lib/main-scheduler/files")
    installed_by_her.run(f"{SOURCE}/deploy/install.sh", "--user")
    assert not machine.exists(old)
    assert machine.exists(f"{HOME}/.local/share/doc/main-scheduler/README.md")
    assert installed_by_her.run("main-scheduler", "--version").returncode == 0


def test_an_installation_that_a_hang_up_ends_leaves_nothing_in_tmp_and_is_completed_by_the_next(machine, ana):
    machine.write("/tmp/bin/mv", "#!/bin/sh\nkill -s HUP $PPID\n", 0o755)
    before = machine.run("ls /tmp").stdout
    hung_up = f"PATH=/tmp/bin:$PATH {SOURCE}/deploy/install.sh --user"
    assert ana.run("sh", "-c", hung_up, check=False).returncode != 0
    assert machine.run("ls /tmp").stdout == before
    machine.run("rm -r /tmp/bin")
    ana.run(f"{SOURCE}/deploy/install.sh", "--user")
    assert machine.run(f"ls {HOME}/.local/lib").stdout == "main-scheduler\n"
    assert ana.run("main-scheduler", "--version").returncode == 0


def test_uninstall_stops_what_is_up_whatever_variables_the_shell_has(machine, installed_by_her):
    machine.write(SCRIPT, "")
    start_and_wait(machine, installed_by_her)
    installed_by_her.run("env", "POSIXLY_CORRECT=1", f"{SOURCE}/deploy/uninstall.sh", "--user")
    assert units(installed_by_her) == ""


def test_the_settings_are_where_her_service_manager_looks_whatever_her_shell_has_set(machine, ana):
    shell = ("XDG_CONFIG_HOME=/home/ana/elsewhere", "XDG_STATE_HOME=relative")
    ana.run("env", *shell, f"{SOURCE}/deploy/install.sh", "--user")
    machine.write(SCRIPT, "")
    start_and_wait(machine, ana)
    assert "succeeded" in ana.run("env", *shell, "main-scheduler", "--user", "list").stdout
    assert machine.exists(SETTINGS)
    assert not machine.exists(f"{HOME}/elsewhere")


def test_root_does_not_install_into_the_home_of_another(machine, ana):
    refused = machine.run(f"HOME={HOME} {SOURCE}/deploy/install.sh --user", check=False)
    assert (refused.returncode, f"{HOME} is not the home of root" in refused.stderr) == (1, True)
    assert machine.run(["find", HOME, "-user", "root"]).stdout == ""


def test_uninstall_ends_what_systemd_starts_again_and_again(machine, installed_by_her):
    ana = installed_by_her
    machine.write(f"{HOME}/.config/systemd/user/main-scheduler@reports.service.d/x.conf", FAILS)
    machine.run(f"chown -R {USER} {HOME}/.config")
    ana.run("sh", "-c", "echo SCHED_INTERVAL=2h >~/.config/main-scheduler@reports.env; systemctl --user daemon-reload")
    ana.run("systemctl", "--user", "enable", "--now", "main-scheduler@reports", check=False)
    assert "auto-restart" in ana.run("systemctl", "--user", "list-units", "main-scheduler*").stdout
    ana.run(f"{SOURCE}/deploy/uninstall.sh", "--user")
    assert units(ana) == ""
    assert machine.run(["find", HOME, "-type", "l"]).stdout == ""


def test_a_user_without_a_home_is_told_so(machine):
    done = machine.run("env -u HOME setpriv --reuid 4321 --clear-groups main-scheduler --user status", check=False)
    assert (done.returncode, done.stderr.count("\n"), "has no home" in done.stderr) == (1, 1, True)


def test_uninstall_stops_it_and_keeps_what_is_hers_and_purge_leaves_nothing(machine, installed_by_her):
    ana = installed_by_her
    before = machine.run(f"find {HOME} -type f -newer {SOURCE}/README.md | grep -c scheduler").stdout
    assert int(before) > 50
    machine.run(f"echo SCHED_INTERVAL=1h >>{SETTINGS}")
    start_and_wait(machine, ana)
    ana.run(f"{SOURCE}/deploy/uninstall.sh", "--user")
    assert units(ana) == ""
    assert machine.exists(SETTINGS)
    assert machine.exists(SCRIPT)
    assert not machine.exists(f"{HOME}/.local/bin/main-scheduler")
    done = ana.run(f"{SOURCE}/deploy/uninstall.sh", "--user", "--purge")
    assert f"no installation was found below {HOME}/.local; what one had left is removed" in done.stdout
    left = machine.run(f"cd {HOME} && find . -mindepth 1 ! -name '.[bp]*' ! -name .cache").stdout.split()
    assert set(left) <= {"./.config", "./.local", "./.local/bin", "./.local/share", "./.local/state"}


@pytest.mark.parametrize("arguments", [["add", "x", "/x"], ["alert"], ["status", "--here"]])
def test_what_speaks_of_the_system_or_of_a_directory_does_not_take_user(machine, arguments):
    done = machine.run(["main-scheduler", "--user", *arguments], check=False)
    assert (done.returncode, done.stdout) == (2, "")


@contextlib.contextmanager
def hidden(machine, folder):
    machine.run(f"mv {folder} {folder}.away")
    try:
        yield
    finally:
        machine.run(f"mv {folder}.away {folder}")


def test_without_the_systems_service_a_user_who_forgets_the_option_is_told_of_it(machine, installed_by_her):
    with hidden(machine, "/usr/local/lib/systemd/system"), hidden(machine, "/etc/default/main-scheduler"):
        done = installed_by_her.run("sh", "-c", "cd; main-scheduler list; main-scheduler status", check=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.count("for your own add --user") == 2


def test_without_an_installation_of_his_a_user_is_told_how(machine, ana):
    with hidden(machine, "/usr/local/lib/systemd/user"):
        done = ana.run("/usr/local/bin/main-scheduler", "--user", "status", check=False)
    assert done.returncode == 1
    assert "install.sh --user" in done.stderr
