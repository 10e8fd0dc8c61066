"""The scheduler that a command speaks of: where it is, whose it is, what is known of it."""

import argparse
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sched_runner.record import store
from sched_runner.record.lock import LockFile
from sched_runner.record.status import Status, of
from sched_runner.settings import places
from sched_runner.settings.places import Place
from sched_runner.settings.source import Source
from sched_runner.settings.table import Settings, SettingsError

_ACCOUNT = "main-scheduler"
# What systemd gives a service (systemd.exec(5), Environment Variables in Spawned Processes).
MINIMAL = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


class OperatorError(Exception):
    """Something that the operator can mend; becomes one message and an exit status."""

    def __init__(self, message: str, exit_status: int = 1) -> None:
        super().__init__(message)
        self.exit_status = exit_status


def environ() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ


@dataclass(frozen=True)
class Installation:
    """The installed service, one of its instances, or a scheduler that was started by hand."""

    place: Place
    source: Source
    is_service: bool

    def settings(self) -> Settings:
        """Its settings, with defaults for the faulty ones: what is running can be seen all the same."""
        return self.settings_and_fault()[0]

    def settings_and_fault(self) -> tuple[Settings, str]:
        """The same, and what is wrong with them."""
        try:
            return self.source.read().settings, ""
        except SettingsError as error:
            return error.settings, "\n".join(error.faults)

    def look(self) -> Status:
        """What its state directory says. Raises OSError, StateError."""
        directory = self.settings().state_dir
        state = store.load(directory)
        pid: int | None = None
        with suppress(FileNotFoundError):
            lock = LockFile(directory, writable=False)
            pid = lock.holder(LockFile.SCHEDULER)
            if pid and not state.is_of_this_host():
                pid = 0  # the number that it has on its own host
            if lock.holder(LockFile.RUN) is None:
                state.running = None  # of a scheduler that was killed
        return of(self.place.name, pid, state)


def find(arguments: argparse.Namespace) -> Installation:
    """What the arguments name. Root becomes its owner, and acts as that from here on. Raises OperatorError."""
    if arguments.instance and arguments.here:
        raise OperatorError("give an instance or --here, not both", 2)
    # systemd escapes others, and takes a colon for two directories.
    if not re.fullmatch(r"(\w[\w.-]*)?", arguments.instance, re.ASCII):
        raise OperatorError("an instance's name begins with a letter or digit, and has those, '.', '_' and '-' only", 2)
    if arguments.here or not (arguments.instance or places.is_installed()):
        return _find_here(asked=arguments.here)
    return _find_installed(arguments.instance)


def _find_installed(instance: str) -> Installation:
    place = places.installed(instance)
    with suppress(FileNotFoundError):
        become(_owner_of_service(place.state_dir))
    # What the unit gives, as far as a shell can.
    given = {
        "STATE_DIRECTORY": str(place.state_dir),
        "LOGS_DIRECTORY": str(place.log_dir),
        "HOME": str(place.state_dir),
    }
    source = Source({}, place.env_file, place, defaults=MINIMAL | given)
    return Installation(place, source, is_service=True)


def _owner_of_service(state_dir: Path) -> tuple[int, int]:
    """User and group: systemd has given them the state directory; before the first start, what install.sh has made."""
    with suppress(FileNotFoundError):
        found = state_dir.lstat()
        return found.st_uid, found.st_gid
    import pwd

    with suppress(KeyError):
        user = pwd.getpwnam(_ACCOUNT)
        return user.pw_uid, user.pw_gid
    raise FileNotFoundError(state_dir)


def _find_here(*, asked: bool) -> Installation:
    place, env = places.here(Path.cwd()), dict(os.environ)
    source = Source(env, None, place)
    settings = Installation(place, source, is_service=False).settings()
    paths = (Path.cwd(), settings.state_dir, settings.main)
    owners = {path: path.lstat() for path in paths if os.path.lexists(path)}
    first = owners[Path.cwd()]
    for path, found in owners.items():
        # Root may be standing in a stranger's directory.
        if not asked and found.st_uid != os.getuid():
            raise OperatorError(f"no service is installed, and {path} is not yours; give --here if you mean it")
        if os.getuid() == 0 and found.st_uid != first.st_uid:
            raise OperatorError(f"{path} and {Path.cwd()} belong to different users: root runs neither")
    changed = become((first.st_uid, first.st_gid))
    return Installation(place, Source(env | changed, None, place), is_service=False)


def become(owner: tuple[int, int]) -> dict[str, str]:
    """Root becomes this user and group for good. Gives what changes in the environment. Raises OperatorError."""
    uid, gid = owner
    if os.getuid() != 0 or uid == 0:
        return {}
    import pwd

    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        name, home, gids = str(uid), "/", [gid]
    else:
        name, home, gid = user.pw_name, user.pw_dir, user.pw_gid
        gids = os.getgrouplist(name, gid)
    try:
        os.setgroups(gids)
        os.setgid(gid)
        os.setuid(uid)
    except OSError as error:
        raise OperatorError(f"cannot become the user {name}: {error.strerror}") from None
    return {"USER": name, "LOGNAME": name, "HOME": home}
