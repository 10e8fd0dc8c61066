"""What systemd knows of our units, and what we ask it to do with them: systemctl(1)."""

import contextlib
import os
import select
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from sched_runner.exit_status import ExitStatus
from sched_runner.settings.places import journal_of

# What systemd gives a service (systemd.exec(5), Environment Variables in Spawned Processes).
MINIMAL = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}

FAULTY_SETTINGS = "its settings are faulty: main-scheduler check says what"
_PROPERTIES = (
    *("Id", "LoadState", "UnitFileState", "ActiveState", "SubState", "Result", "ExecMainStatus", "MainPID"),
    *("ConditionResult", "ConditionTimestamp", "User", "UMask", "ExecStart", "WorkingDirectory", "NeedDaemonReload"),
    *("Environment", "EnvironmentFiles", "UnsetEnvironment", "StateDirectory", "LogsDirectory"),
)
START_TAKES = 120.0  # seconds; systemd itself gives up after 90
_PATIENCE = 10.0
_WHY = {
    "resources": "systemd could not start it",
    "signal": "a signal ended it",
    "core-dump": "it crashed",
    "watchdog": "the watchdog ended it",
    "timeout": "it took longer than its unit allows",
    "oom-kill": "memory ran out",
}

Unit = Mapping[str, str]


def said(*command: str, patience: float | None = 60.0) -> str:
    """What the command prints, in English; empty if it does not exist, or takes more than ``patience`` seconds."""
    ended = _ended(command, patience)
    return ended.stdout.decode(errors="backslashreplace") if ended else ""


def did(*command: str, patience: float | None = 60.0) -> bool:
    """Whether the command succeeds within ``patience`` seconds."""
    ended = _ended(command, patience)
    return ended is not None and ended.returncode == 0


def start(name: str) -> bool:
    """Start a unit, and wait until it is ready; gives whether systemd did so: another request can cancel the start."""
    return did("systemctl", "start", "--", name, patience=START_TAKES)


def restart(name: str, pid: int, is_gone: Callable[[], None]) -> bool:
    """Restart a unit, and wait until it is ready; gives whether systemd did so. Raises OSError.

    This is one request to systemd: between two, a stop and a start, Pacemaker could find the unit down. The function
    calls ``is_gone`` once the process ``pid`` or systemctl has ended; systemd starts the next process meanwhile.
    """
    nothing = subprocess.DEVNULL
    command = ["systemctl", "restart", "--", name]
    with subprocess.Popen(command, env=_environ(), stdin=nothing, stdout=nothing, stderr=nothing) as systemctl:
        _wait_for_one_of(pid, systemctl.pid)
        is_gone()
        with suppress(subprocess.TimeoutExpired):
            return systemctl.wait(START_TAKES) == 0
        systemctl.kill()
    return False


def _wait_for_one_of(*pids: int) -> None:
    poller = select.poll()
    with contextlib.ExitStack() as opened:
        for pid in pids:
            try:
                descriptor = os.pidfd_open(pid)
            except OSError:  # it is gone, or it was none: pid 0
                return
            opened.callback(os.close, descriptor)
            poller.register(descriptor, select.POLLIN)
        poller.poll()


def _ended(command: Sequence[str], patience: float | None) -> subprocess.CompletedProcess[bytes] | None:
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(
            command,
            env=_environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=patience,
            check=False,
        )
    return None


def _environ() -> Mapping[str, str]:
    # So systemctl --user finds the user's service manager even if the user has no session here (sudo, su).
    return {"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}", **MINIMAL}


def unit_named(name: str, *, is_users: bool = False) -> Unit:
    """What systemd knows of the unit."""
    return show([name], is_users=is_users).get(name, {})


def show(names: Sequence[str], *, is_users: bool = False) -> dict[str, Unit]:
    """What systemd knows of units, by the unit's name, in one call; a property with several values has a line for each.

    Empty if systemd does not answer.
    """
    found: dict[str, Unit] = {}
    manager = "--user" if is_users else "--system"
    asked = ("systemctl", manager, "show", f"--property={','.join(_PROPERTIES)}", "--", *names)
    for block in said(*asked, patience=_PATIENCE).split("\n\n"):
        unit: dict[str, str] = {}
        for line in block.splitlines():
            name, equals, value = line.partition("=")
            if equals:
                unit[name] = f"{unit[name]}\n{value}" if name in unit else value
        if unit.get("Id"):
            found[unit["Id"]] = unit
    return found


def up() -> list[str]:
    """The names of our services that are up, or about to be."""
    asked = ("systemctl", "list-units", "--plain", "--no-legend", "--state=active,activating,reloading", "--")
    lines = said(*asked, "main-scheduler.service", "main-scheduler@*.service", patience=_PATIENCE).splitlines()
    return [line.split()[0] for line in lines if line.strip()]


def main_pid(unit: Unit) -> int | None:
    """The pid of the service's process, if that process has said that it is ready and is still there; else None."""
    is_up = unit.get("ActiveState") in ("active", "reloading", "deactivating")
    pid = int(unit.get("MainPID") or 0) if is_up else 0
    return pid if pid and os.path.exists(f"/proc/{pid}") else None


def is_enabled(unit: Unit) -> bool:
    """Whether systemd starts the unit at boot."""
    return unit.get("UnitFileState", "").startswith("enabled")


def is_wanted(unit: Unit) -> bool:
    """Whether systemd starts the unit at boot, has it up, or remembers that it failed."""
    return is_enabled(unit) or unit.get("ActiveState", "inactive") != "inactive"


def not_enabled_or_up(names: Sequence[str]) -> str:
    """Which of these units are not enabled, or else not up, and what changes that; empty if there is none."""
    found = show(names)
    off = [name for name, unit in found.items() if not is_enabled(unit)]
    down = [name for name, unit in found.items() if unit.get("ActiveState") != "active"]
    for which, state, verb in ((off, "enabled", "enable --now"), (down, "up", "restart")):
        if which:
            are = "is" if len(which) == 1 else "are"
            return f"{' and '.join(which)} {are} not {state}; try systemctl {verb} {' '.join(which)}"
    return ""


def why_down(unit: Unit, *, is_users: bool = False) -> str:
    """Why the unit is not up, in words; empty if nobody wanted the unit to be up."""
    more = journal_of(unit.get("Id", ""), is_users=is_users)
    if unit.get("LoadState") == "masked":
        return "it is masked: systemctl unmask undoes that"
    active, status = unit.get("ActiveState"), unit.get("ExecMainStatus", "")
    if active == "inactive" and unit.get("ConditionResult") == "no" and unit.get("ConditionTimestamp"):
        return f"systemd did not start it, for a condition of the unit does not hold: {more}"
    if active not in ("failed", "activating"):
        return ""
    if status == str(ExitStatus.CONFIG):
        return FAULTY_SETTINGS
    ended = f"it ended with exit status {status}" if status != "0" else "another command of the unit failed"
    why = _WHY.get(unit.get("Result", ""), ended)
    if unit.get("SubState") == "auto-restart":
        return f"{why}, and systemd starts it again and again: {more}"
    return f"{why}: {more}" if active == "failed" else ""
