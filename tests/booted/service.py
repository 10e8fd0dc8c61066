"""main-scheduler as a user of a machine meets it: files to write, commands to type."""

import json
import shlex
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
SOURCE = "/usr/src/main-scheduler"  # the checkout in the machine


def install(machine, *options):
    """Copies the checkout into the machine and runs install.sh."""
    machine.copy(CHECKOUT, SOURCE)
    return machine.run([f"{SOURCE}/deploy/install.sh", *options], timeout=600)


def reset(machine):
    """The installed service as it was after install.sh, not started, with nothing of earlier tests."""
    machine.run(f"""
        set -e
        systemctl stop main-scheduler 'main-scheduler@*'
        systemctl -q disable main-scheduler main-scheduler@
        rm -rf /var/log/main-scheduler* /var/lib/main-scheduler* /opt/main-scheduler /etc/main-scheduler
        rm -rf /etc/default/main-scheduler* /etc/systemd/system/main-scheduler*.d /run/main-scheduler
        systemctl reset-failed
        {SOURCE}/deploy/install.sh
    """)
    machine.forget_journal()


class Service:
    """The main service, or an instance."""

    def __init__(self, machine, instance=None):
        self.machine = machine
        self.instance = instance
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
        self.machine.run(["chgrp", "main-scheduler", self.settings_file])

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
