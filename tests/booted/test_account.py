"""The account main-scheduler: a script works as usual, and no program outside of the sandbox does what main.py left it.

The machine has exim, sshd, polkit and users' own systemds; postfix, whose turn comes too, is in the other tests' machine.
"""

from pathlib import Path

import pytest
from machine import BARE, Machine
from service import SOURCE, Service, install, reset
from tier import need_loopback

LIBRARIES = ("python3-apscheduler", "python3-systemd", "python3-dotenv")
OBEDIENT = (*BARE, "logrotate", "exim4-daemon-light", "openssh-server", "curl", "polkitd", "libpam-systemd", *LIBRARIES)
NEEDS = Path(__file__).with_name("needs.py").read_text()
UNINSTALL = f"{SOURCE}/deploy/uninstall.sh"

# Written from outside of the sandbox: main.py's own /var/tmp is private.
OUT = "/var/tmp/out"

HOME = """
import os, pathlib, subprocess
home = pathlib.Path(os.environ["HOME"])
def plant(name, text):
    file = home / name
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o600)
"""
LINGERS = f"""
{HOME}
plant(".config/systemd/user/out.service", "[Service]\\nExecStart=/usr/bin/touch {OUT}\\n")
wants = home / ".config/systemd/user/default.target.wants"
wants.mkdir(exist_ok=True)
wants.joinpath("out.service").symlink_to("../out.service")
print("asked", subprocess.run(["loginctl", "enable-linger", "main-scheduler"]).returncode)
"""
FORWARDS = f"""
{HOME}
import smtplib
plant(".forward", "|\\"/usr/bin/touch {OUT}\\"\\n")
with smtplib.SMTP("127.0.0.1", timeout=20) as smtp:
    smtp.sendmail("main-scheduler@localhost", "main-scheduler@localhost", "Subject: to myself\\n\\nhello\\n")
"""
WRITES_CURLRC = f"""
{HOME}
plant(".curlrc", "trace = " + str(home / "traced") + "\\n")
raise SystemExit(3)
"""
ASKS_FOR_CREDENTIALS = """
import socket
for address in "169.254.169.254", "100.100.100.200", "127.0.0.1":
    try:
        socket.create_connection((address, 81), timeout=2)
    except OSError as error:
        print(error)
"""
CALLS_THE_KERNEL = """
import ctypes, errno, platform
libc = ctypes.CDLL(None, use_errno=True)
calls = dict(io_uring_setup=425, process_vm_readv=310, kcmp=312) if platform.machine() == "x86_64" else dict(
    io_uring_setup=425, process_vm_readv=270, kcmp=272)
for name, number in calls.items():
    ctypes.set_errno(0)
    libc.syscall(number, -1, 0, 0, 0, 0, 0)
    print(name, errno.errorcode.get(ctypes.get_errno()))
"""
# The kernel's SIOCSIFADDR, for a minimal machine has no other way to give itself an address.
IS_A_CLOUD = """
import fcntl, socket, struct
for name, address in (b"lo:1", "169.254.169.254"), (b"lo:2", "100.100.100.200"):
    request = struct.pack("16sH2x4s8x", name, socket.AF_INET, socket.inet_aton(address))
    fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), 0x8916, request)
"""
TALKS_TO_DBUS = """
import socket
for path in "/run/dbus/system_bus_socket", "/var/run/dbus/system_bus_socket":
    socket.socket(socket.AF_UNIX).connect(path)
"""


class MachineWithFilters(Machine):
    """Where IPAddressDeny= has an effect: it needs BPF, which systemd-nspawn keeps from a machine."""

    def _command(self):
        command = super()._command()
        where = command.index("--boot")
        command[where:where] = ["--capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON", "--system-call-filter=bpf"]
        return command


@pytest.fixture(scope="module")
def obedient(release):
    """A machine with programs that do what lies in a home; each test begins with a service that is not started."""
    with MachineWithFilters(release, packages=OBEDIENT) as machine:
        machine.write("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
        machine.write("/etc/mailname", "localhost\n")
        install(machine)
        yield machine


@pytest.fixture
def host(obedient):
    reset(obedient)
    obedient.run(f"rm -rf /var/mail/* {OUT}")
    return obedient


@pytest.fixture
def scheduler(host):
    return Service(host)


def set_up_exim(machine, delivers_to="mail_spool"):
    need_loopback(machine)
    machine.write(
        "/etc/exim4/update-exim4.conf.conf",
        f"dc_eximconfig_configtype='local'\ndc_local_interfaces='127.0.0.1'\ndc_localdelivery='{delivers_to}'\n"
        "dc_other_hostnames='localhost'\n",
    )
    machine.run("update-exim4.conf && systemctl restart exim4")


def set_up_postfix(machine):
    need_loopback(machine)
    machine.run(f"systemctl start postfix; rm -rf /var/mail/* {OUT}")


def run_once(service, script, settings=None):
    """The outcome of one run."""
    service.settings(SCHED_ENV="prod", **settings or {})
    service.script(script)
    service.start()
    return service.wait_for_runs(1)[0]


def test_what_scripts_typically_need_works_in_the_sandbox(host, scheduler):
    set_up_exim(host)
    assert run_once(scheduler, NEEDS) == "succeeded", scheduler.log()
    assert "43 needs, 0 lacking" in scheduler.log()


def test_a_script_cannot_have_the_user_linger_with_a_unit_of_its_own(host, scheduler):
    assert run_once(scheduler, LINGERS) == "succeeded", scheduler.log()
    assert "asked 1" in scheduler.log()
    assert not host.exists("/var/lib/systemd/linger/main-scheduler")
    assert not host.exists(OUT)


def test_a_user_that_lingers_starts_nothing_that_a_script_left(host, scheduler):
    """As an operator may have it, or a version before."""
    assert run_once(scheduler, LINGERS) == "succeeded", scheduler.log()
    linger(host)
    assert not host.exists(OUT)


def linger(machine):
    """Has the user main-scheduler linger, from within the machine: logind looks at who asks."""
    machine.run("systemd-run --quiet --wait loginctl enable-linger main-scheduler")
    user = machine.run("id -u main-scheduler").stdout.strip()
    machine.wait_until(
        lambda: machine.property(f"user@{user}.service", "ActiveState") == "active", 20, "the user's systemd is up"
    )


def assert_own_mail_is_kept_and_forwarded_to_no_program(machine, service):
    assert run_once(service, FORWARDS) == "succeeded", service.log()
    machine.wait_until(
        lambda: "to myself" in machine.run("cat /var/mail/main-scheduler", check=False).stdout or machine.exists(OUT),
        30,
        "the mail is delivered",
    )
    assert not machine.exists(OUT)


def test_exim_obeys_no_forward_file_of_a_script(host, scheduler):
    set_up_exim(host)
    assert_own_mail_is_kept_and_forwarded_to_no_program(host, scheduler)


def test_postfix_obeys_no_forward_file_of_a_script(machine, service):
    set_up_postfix(machine)
    assert_own_mail_is_kept_and_forwarded_to_no_program(machine, service)


def test_sshd_obeys_no_authorized_keys_of_a_script(host, scheduler):
    need_loopback(host)
    host.run("systemctl start ssh; rm -f /root/key*; ssh-keygen -q -t ed25519 -N '' -f /root/key")
    key = host.read("/root/key.pub").strip()
    assert run_once(scheduler, f"{HOME}\nplant('.ssh/authorized_keys', {key!r})\n") == "succeeded", scheduler.log()
    log_in = "ssh -i /root/key -o BatchMode=yes -o StrictHostKeyChecking=no main-scheduler@127.0.0.1"
    refused = host.run(log_in, check=False)
    assert refused.returncode == 255
    assert "Permission denied" in refused.stderr


def test_the_alert_command_obeys_no_curlrc_of_a_script(host, scheduler):
    command = "curl --silent --data-binary @- http://127.0.0.1:9/"
    assert run_once(scheduler, WRITES_CURLRC, {"SCHED_ALERT_COMMAND": command}) == "failed"
    host.run("systemctl start main-scheduler-alert", check=False)
    assert "curl ended with exit status 7" in host.journal("--unit=main-scheduler-alert")
    assert not host.exists(f"{scheduler.state}/traced")


def test_a_script_cannot_ask_a_cloud_for_the_hosts_credentials(host, scheduler):
    """Nobody listens there, nor at localhost: without the filter the answer is a refusal, with it there is none."""
    need_loopback(host)
    host.run(["python3", "-c", IS_A_CLOUD])
    assert run_once(scheduler, ASKS_FOR_CREDENTIALS) == "succeeded"
    assert scheduler.log().count("timed out\n") == 2, scheduler.log()
    assert scheduler.log().count("Connection refused\n") == 1
    scheduler.stop()
    scheduler.drop_in("link-local.conf")
    scheduler.start()
    assert scheduler.wait_for_runs(2)[1] == "succeeded"
    assert scheduler.log().count("Connection refused\n") == 1 + 3


def test_a_script_reaches_neither_dbus_nor_the_kernels_ways_round_the_filter(host, scheduler):
    assert run_once(scheduler, CALLS_THE_KERNEL + TALKS_TO_DBUS) == "failed"
    for call in ("io_uring_setup", "process_vm_readv", "kcmp"):
        assert f"{call} EPERM" in scheduler.log()
    assert "PermissionError" in scheduler.log()


def test_a_script_has_shared_memory_and_queues_to_itself(host, scheduler):
    assert run_once(scheduler, "import os\nprint('in', os.readlink('/proc/self/ns/ipc'))\n") == "succeeded"
    assert f"in {host.run('readlink /proc/1/ns/ipc').stdout}" not in scheduler.log()


def test_what_a_script_writes_is_for_its_user_alone_and_the_schedulers_files_for_the_group_too(host, scheduler):
    assert run_once(scheduler, f"{HOME}\nhome.joinpath('own').write_text('')\n") == "succeeded", scheduler.log()
    found = host.run(
        f"cd {scheduler.state} && stat -c '%a %n' own state.json last_success.txt {scheduler.logs}/*"
    ).stdout
    modes = [line.split()[0] for line in found.splitlines()]
    assert modes[:4] == ["600", "640", "640", "640"]
    assert set(modes[3:]) == {"640"}


# The alert unit, with the mail programs of both kinds: exim is setuid root and delivers by itself; postfix is setgid.


def alert(machine, service):
    assert run_once(service, "raise SystemExit(3)\n", {"SCHED_ALERT_MAIL": "ann"}) == "failed"
    machine.run("id ann >/dev/null 2>&1 || useradd -m ann; systemctl start main-scheduler-alert")


@pytest.mark.parametrize(
    ("delivers_to", "box"), [("mail_spool", "/var/mail/ann"), ("maildir_home", "/home/ann/Maildir")]
)
def test_the_alert_is_delivered_by_exim(host, scheduler, delivers_to, box):
    set_up_exim(host, delivers_to)
    alert(host, scheduler)
    host.wait_until(
        lambda: "run 1 failed: " in host.run(f"grep -rh ^Subject {box}", check=False).stdout,
        20,
        "the mail is delivered",
    )


def test_the_alert_is_delivered_by_postfix(machine, service):
    set_up_postfix(machine)
    alert(machine, service)
    machine.wait_until(
        lambda: "run 1 failed: " in machine.run("cat /var/mail/ann", check=False).stdout,
        20,
        "the mail is delivered",
    )


# Upgrades and removal. They come last: they change the account of this machine.


def test_an_upgrade_takes_the_home_away_with_schedulers_up_and_ends_what_lingers(host, scheduler):
    reports = Service(host, "reports")
    for each in (scheduler, reports):
        each.settings(SCHED_ENV="prod")
        each.script("import time\ntime.sleep(1)\n")
        each.start()
    host.run("usermod --prefix=/. --home=/var/lib/main-scheduler main-scheduler")
    linger(host)
    said = host.run(f"{SOURCE}/deploy/install.sh").stdout
    assert host.run("getent passwd main-scheduler").stdout.split(":")[5] == "/"
    assert "had /var/lib/main-scheduler as its home" in said
    assert not host.exists("/var/lib/systemd/linger/main-scheduler")
    assert "systemd --user" not in processes(host)
    for each in (scheduler, reports):
        assert each.property("ActiveState") == "active"
        assert "interrupted" not in each.wait_for_runs(1)


def processes(machine):
    return machine.run("cat /proc/[0-9]*/cmdline | tr '\\0' ' '", check=False).stdout


def test_purge_takes_a_user_away_that_lingers(host, scheduler):
    assert run_once(scheduler, LINGERS) == "succeeded"
    linger(host)
    host.run([UNINSTALL, "--purge"])
    assert host.run("getent passwd main-scheduler; getent group main-scheduler", check=False).stdout == ""
    assert not host.exists("/var/lib/systemd/linger/main-scheduler")
    assert "systemd --user" not in processes(host)
    host.run(f"{SOURCE}/deploy/install.sh")
