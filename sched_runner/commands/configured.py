"""What a unit and its drop-ins give to the service: directories, user and environment."""

import os
import pwd
import re
import shlex
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

from sched_runner.commands import unit_text, units
from sched_runner.commands.units import MINIMAL, Unit
from sched_runner.exit_status import OperatorError
from sched_runner.settings import environment_file
from sched_runner.settings.places import Place

ACCOUNT = "main-scheduler"


def as_configured(place: Place, unit: Unit) -> Place:
    """The place with what drop-ins have changed: its directories, and the paths in the unit's command."""
    named = dict(re.findall(r" --(env-file|main)[ =](/\S+)", unit.get("ExecStart", "")))
    workdir = unit.get("WorkingDirectory", "")
    state, logs = (re.match(r"[^\s:]+", unit.get(name, "")) for name in ("StateDirectory", "LogsDirectory"))
    return replace(
        place,
        main=Path(named.get("main", place.main)),
        env_file=Path(named["env-file"]) if "env-file" in named else place.env_file,
        workdir=Path(workdir) if workdir.startswith("/") and workdir != "/" else place.workdir,
        state_dir=place.state_dir.parent / state[0] if state else place.state_dir,
        log_dir=place.log_dir.parent / logs[0] if logs else place.log_dir,
    )


def owner_of(place: Place, unit: Unit) -> tuple[int, int]:
    """Ids of the user and group that own the state directory; before the first start, of those that the unit names."""
    if place.is_users:
        return os.getuid(), os.getgid()
    with suppress(FileNotFoundError):
        found = place.state_dir.lstat()
        if found.st_uid != 0:  # root owns the directory until systemd gives it to the service
            return found.st_uid, found.st_gid
    return user_of(place, unit)


def user_of(place: Place, unit: Unit) -> tuple[int, int]:
    """Ids of the user whom the unit names, and of that user's group. Raises OperatorError if there is no such user."""
    name = unit.get("User") or ACCOUNT
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise OperatorError(f"there is no user {name}, as whom {place.name} runs") from None
    return user.pw_uid, user.pw_gid


def environ_of(place: Place, unit: Unit) -> dict[str, str]:
    """The environment that systemd gives the service, as far as this user may read the environment files."""
    found = MINIMAL | {
        "STATE_DIRECTORY": str(place.state_dir),
        "LOGS_DIRECTORY": str(place.log_dir),
        "HOME": str(Path.home() if place.is_users else place.state_dir),
    }
    found |= environ_of_manager(is_users=place.is_users)
    with suppress(ValueError):
        found |= dict(word.split("=", 1) for word in shlex.split(unit.get("Environment", "")))
    files = [line.rpartition(" (ignore_errors=")[0] for line in unit.get("EnvironmentFiles", "").splitlines()]
    for path, _ in unit_text.environment_files(files):
        found |= environment_file.read(path).values
    unset = unit.get("UnsetEnvironment", "").split()
    return {name: value for name, value in found.items() if not {name, f"{name}={value}"} & {*unset}}


@cache
def environ_of_manager(*, is_users: bool) -> dict[str, str]:
    """What the service manager gives to every service."""
    lines = units.said("systemctl", "--user" if is_users else "--system", "show-environment").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and "=$'" not in line)
