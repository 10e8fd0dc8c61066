"""main-scheduler as a user of a machine meets it: files to write, commands to type."""

import json
import shlex
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
SOURCE = "/usr/src/main-scheduler"  # the checkout in the machine

# A script that goes on until end_run() says with which exit status it shall end.
GATED = """
import os, sys
gate = os.environ["STATE_DIRECTORY"] + "/gate"
if os.path.lexists(gate):
    os.unlink(gate)
os.mkfifo(gate)
sys.exit(int(open(gate).read()))
"""

# The command with a fault in it: what stands before its start changes the package.
LAUNCHER = """
import sys
sys.path.insert(0, "/usr/local/lib/main-scheduler")
{patch}
from sched_runner.cli import main
sys.exit(main())
"""


def install(machine, *options):
    """Copies the checkout into the machine and runs install.sh."""
    machine.copy(CHECKOUT, SOURCE)
    return machine.run([f"{SOURCE}/deploy/install.sh", *options], timeout=600)


def reset(machine):
    """The installed service as it was after install.sh, not started, with nothing of earlier tests."""
    machine.run(f"""
        set -e
        getent passwd main-scheduler >/dev/null && [ -e /usr/local/bin/main-scheduler ] || {SOURCE}/deploy/install.sh
        systemctl stop 'main-scheduler-alert*' main-scheduler 'main-scheduler@*'
        systemctl -q disable main-scheduler main-scheduler@
        systemctl -q --runtime unmask main-scheduler main-scheduler@reports
        rm -rf /var/log/main-scheduler* /var/lib/main-scheduler* /opt/main-scheduler /etc/main-scheduler
        rm -rf /etc/default/main-scheduler* /etc/systemd/system/main-scheduler*.d /run/main-scheduler
        systemctl reset-failed
        install -m 640 -g main-scheduler {SOURCE}/deploy/systemd/main-scheduler.default /etc/default/main-scheduler
        install -D -m 755 {SOURCE}/deploy/main.py /opt/main-scheduler/main.py
        systemd-tmpfiles --create /usr/local/lib/tmpfiles.d/main-scheduler.conf
        systemctl daemon-reload
    """)
    machine.forget_journal()


def wait_for_end(machine, unit):
    """Of what systemd-run has started."""
    ended = ("inactive", "failed")
    machine.wait_until(lambda: machine.property(f"{unit}.service", "ActiveState") in ended, 30, f"{unit} has ended")


class Service:
    """The main service, or an instance."""

    def __init__(self, machine, instance=None):
        self.machine = machine
        self.instance = instance
        self.group = "main-scheduler"
        self.name = f"main-scheduler@{instance}" if instance else "main-scheduler"
        self.unit = f"{self.name}.service"
        self.settings_file = f"/etc/default/{self.name}"
        self.script_file = f"/opt/main-scheduler/{instance}/main.py" if instance else "/opt/main-scheduler/main.py"
        self.logs = f"/var/log/{self.name}"
        self.state = f"/var/lib/{self.name}"

    def script(self, text):
        self.machine.write(self.script_file, text, 0o755)

    def settings(self, **values):
        text = "".join(f"{name}={value}\n" for name, value in values.items())
        self.machine.write(self.settings_file, text, 0o640)
        self.machine.run(["chgrp", self.group, self.settings_file])

    def drop_in(self, text):
        """Adds a drop-in: its text, or the name of one that is shipped."""
        shipped = CHECKOUT / "deploy/systemd/drop-ins" / text
        name = text if text.endswith(".conf") else "test.conf"
        text = shipped.read_text() if text.endswith(".conf") else text
        self.machine.write(f"/etc/systemd/system/{self.unit}.d/{name}", text)
        self.systemctl("daemon-reload")

    def systemctl(self, verb, *arguments, check=True):
        words = [verb] if verb == "daemon-reload" else [verb, *arguments, self.unit]
        return self.machine.run(["systemctl", *words], check=check)

    def start(self):
        self.systemctl("start")

    def stop(self):
        self.systemctl("stop")

    def property(self, name):
        return self.machine.property(self.unit, name)

    def status(self):
        """What `main-scheduler status --json` says."""
        instance = shlex.quote(self.instance) if self.instance else ""
        return json.loads(self.machine.run(f"main-scheduler status --json {instance}", check=False).stdout)

    def log(self):
        """All of scheduler.log that is kept, oldest first."""
        return self.machine.run(f"cd {self.logs} && cat $(ls -rv scheduler.log*)").stdout

    def patch(self, code):
        """Executes code in the process of the scheduler before it begins, in the place of the plain command."""
        launcher = "/etc/main-scheduler/launcher.py"
        self.machine.write(launcher, LAUNCHER.format(patch=code))
        plain = self.machine.run(["systemctl", "cat", self.unit]).stdout
        command = next(line for line in plain.splitlines() if line.startswith("ExecStart=/usr/local/bin/"))
        command = command.replace("/usr/local/bin/main-scheduler", f"/usr/bin/python3 -I {launcher}")
        directory = f"/etc/systemd/system/{self.unit}.d"
        self.machine.write(f"{directory}/launcher.conf", f"[Service]\nExecStart=\n{command}\n")
        self.systemctl("daemon-reload")

    def kept(self):
        """What state.json has. For waits: only if it is elsewhere a command of ours says it, and costs a start of Python."""
        text = self.machine.run(["cat", f"{self.state}/state.json"], check=False).stdout
        return json.loads(text) if text else self.status()

    def is_running(self):
        return self.kept()["running"]

    def runs(self):
        """The runs that have ended."""
        return self.kept()["runs"]

    def wait_for_run(self):
        return self.machine.wait_until(self.is_running, 20, "a run is going")

    def wait_for_runs(self, count, timeout=30):
        """Waits for the end of so many runs, and gives their outcomes."""
        self.machine.wait_until(lambda: len(self.runs()) >= count, timeout, f"{count} runs have ended")
        return [run["outcome"] for run in self.runs()]

    def end_run(self, exit_status=0):
        """Lets the run of GATED that is going end."""
        gate = f"{self.state}/gate"
        # It fails as long as nobody reads: a run that was killed may have left its gate.
        answer = ["sh", "-c", f"echo {exit_status} | dd of={gate} oflag=nonblock conv=nocreat,notrunc status=none"]
        self.machine.wait_until(
            lambda: self.machine.run(answer, check=False).returncode == 0, 20, "the run is at its gate"
        )
        self.machine.run(["rm", gate])

    def trigger(self):
        self.machine.run(["main-scheduler", "trigger", *filter(None, [self.instance])])

    def ask_for_a_run(self):
        """As trigger, but also while a run is going."""
        self.systemctl("kill", "--signal=USR1", "--kill-whom=main")

    def processes(self):
        """The pids of all processes of the service's user, in the control group or elsewhere."""
        found = self.machine.run(
            "find /proc -maxdepth 1 -user main-scheduler -name '[0-9]*' -printf '%f\\n'", check=False
        )
        return sorted(found.stdout.split())

    def control_group(self):
        """The pids in the control group, which is not there when the unit is down."""
        group = f"/sys/fs/cgroup{self.property('ControlGroup') or f'/system.slice/{self.unit}'}"
        return sorted(self.machine.run(f"cat {group}/cgroup.procs", check=False).stdout.split())

    def records(self):
        """Its journal since forget_journal(), without what systemd says about it."""
        lines = self.machine.journal(f"--unit={self.unit}", "--all", output="json").splitlines()
        return [entry for entry in map(json.loads, lines) if entry.get("SYSLOG_IDENTIFIER") == self.name]
