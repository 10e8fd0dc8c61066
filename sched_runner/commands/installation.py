"""The scheduler that a command speaks of: where it is, whose it is, what is known of it."""

import argparse
import difflib
import os
import re
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from sched_runner import words
from sched_runner.commands import units
from sched_runner.commands.configured import ACCOUNT, as_configured, environ_of, environ_of_manager, owner_of
from sched_runner.commands.owner import become, check_that_root_alone_can_change
from sched_runner.commands.units import MINIMAL, Unit, unit_named
from sched_runner.exit_status import ExitStatus, OperatorError
from sched_runner.record import store
from sched_runner.record.lock import LockFile
from sched_runner.record.status import Status, of
from sched_runner.settings import places
from sched_runner.settings.places import Folders, Place
from sched_runner.settings.source import Reading, Source
from sched_runner.troubles import said

_HOW_A_USER_INSTALLS = "./deploy/install.sh --user installs one"
# If root becomes another user, only these variables of root's environment stay: the others are root's own.
_HANDED_ON = re.compile(r"SCHED_\w+|LANG|LC_\w+|TERM|TZ|NO_COLOR|(https?|no)_proxy", re.ASCII)


def environ() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ


@dataclass(frozen=True)
class Installation:
    """The installed service, one of its instances, or a scheduler that was started by hand.

    ``reading`` has defaults for the settings in which there are ``faults``: a command can still look at a running
    scheduler. ``unit`` is what systemd knows of the service; empty if systemd knows nothing.
    """

    place: Place
    reading: Reading
    faults: list[str]
    is_service: bool
    unit: Unit = field(default_factory=dict)

    def is_another_users(self) -> bool:
        """Whether this process has another user than the service, and so may see other things than the service does."""
        return self.is_service and os.getuid() != owner_of(self.place, self.unit)[0]

    def closed_file(self) -> Path | None:
        """The environment file of another user's service, if this user may not read it; otherwise None."""
        file = self.place.env_file if self.is_another_users() else None
        return file if file and file.exists() and not os.access(file, os.R_OK) else None

    def look(self) -> Status:
        """The status in the state directory. Raises OperatorError if it is unknown, or not for this user."""
        try:
            return self._look()
        except (OSError, store.StateError) as error:
            raise OperatorError(said(error), ExitStatus.UNKNOWN) from None

    def _look(self) -> Status:
        directory = self.reading.settings.state_dir
        pid = of_unit = units.main_pid(self.unit)
        try:
            state = store.load(directory)
        except PermissionError:
            raise OperatorError(who_may(directory), ExitStatus.UNKNOWN) from None
        try:
            with closing(LockFile(directory, writable=False)) as lock:
                holder = lock.holder(LockFile.SCHEDULER)
                has_run = lock.holder(LockFile.RUN) is not None
            pid = holder if holder is not None else pid
            if pid and pid != of_unit and not state.is_of_this_host():
                pid = 0  # the number means nothing here: the scheduler is on another host
            if not has_run:
                state.running = None  # left by a scheduler that was killed
        except FileNotFoundError:
            pass
        except PermissionError:  # only its owner may open the lock; systemd knows of a service of this host
            if pid is None and not (self.is_service and state.is_of_this_host()):
                where = f"on {words.printable(state.host)}" if self.is_service else "here"
                unseen = f"only root can see whether {self.place.name} is up {where}"
                raise OperatorError(f"{unseen}: try with sudo", ExitStatus.UNKNOWN) from None
        return of(self.place.name, pid, state)

    def look_around(self) -> Status:
        """The status from ``look``, and in its ``trouble`` why the service is down, and faults of the settings."""
        status = self.look()
        if not self.is_service:  # this scheduler's settings are in the environment of another shell
            return status
        # A user who cannot read the file cannot know of a fault.
        faults = [] if self.closed_file() else self.faults
        down = units.why_down(self.unit, is_users=self.place.is_users) if status.pid is None else ""
        if faults and down == units.FAULTY_SETTINGS:
            down = ""  # the faults themselves say more
        troubles = [down, f"the settings are faulty: {'; '.join(faults)}" if faults else ""]
        return replace(status, trouble=words.printable("; ".join(filter(None, troubles))))


def who_may(path: Path) -> str:
    """The message about a file or directory that this user may not read, which names the users who may."""
    import grp

    group = ACCOUNT
    with suppress(OSError, KeyError):
        group = grp.getgrgid(path.stat().st_gid).gr_name
    return f"only root and members of the group {group} may look at {path}: try with sudo"


def find(arguments: argparse.Namespace, *, reads_as_owner: bool = False) -> Installation:
    """The scheduler that the arguments name. Root becomes the scheduler's user for good. Raises OperatorError.

    ``reads_as_owner``: read the environment files as the owner only; otherwise root reads them first, as systemd does.
    """
    place = place_of(arguments)
    if place is None:
        return _find_here(asked=arguments.here)
    unit = known(place)
    place = as_configured(place, unit)
    given = {} if reads_as_owner else environ_of(place, unit)
    become(owner_of(place, unit))
    return installed(place, unit, given or environ_of(place, unit))


def place_of(arguments: argparse.Namespace) -> Place | None:
    """The place of the service or instance that the arguments name; None for a scheduler here. Raises OperatorError."""
    if arguments.instance and arguments.here:
        raise OperatorError("give an instance or --here, not both", ExitStatus.USAGE)
    if arguments.instance:
        check_name(arguments.instance)
    if arguments.here and arguments.user:
        raise OperatorError("give --user or --here, not both", ExitStatus.USAGE)
    found = folders(is_users=arguments.user)
    if arguments.here or not (arguments.instance or arguments.user or found.is_installed()):
        if not (arguments.here or Path("scheduler").exists()) and (yours := hint_of_user()):
            raise OperatorError(
                f"no service of the system is installed{yours}, or --here for a scheduler started by hand",
                ExitStatus.UNKNOWN,
            )
        return None
    if arguments.user and not found.is_installed():
        raise OperatorError(f"no service of this user is installed: {_HOW_A_USER_INSTALLS}")
    return found.place(arguments.instance)


def folders(*, is_users: bool) -> Folders:
    """Where the services of the system, or those of this user, have their things. Raises OperatorError."""
    if not is_users:
        return places.of_system()
    try:
        # Ask the service manager: services do not know what a shell has set since the manager began.
        return places.of_user(Path.home(), environ_of_manager(is_users=True) or environ())
    except RuntimeError:
        raise OperatorError("this user has no home, where services of his own would be") from None
    except OSError as error:  # HOME is another user's
        raise OperatorError(f"{error.filename} cannot be looked into: {error.strerror}") from None


def hint_of_user() -> str:
    """The end of a message that the system has no service, if this user has one; otherwise empty."""
    with suppress(OperatorError):
        if folders(is_users=True).is_installed():
            return "; for your own add --user"
    return ""


def check_name(instance: str) -> None:
    """Raises OperatorError for a name that no instance can have."""
    if not places.INSTANCE.fullmatch(instance):
        raise OperatorError(
            "an instance's name begins with a letter or digit, and has those, '.', '_' and '-' only", ExitStatus.USAGE
        )


def known(place: Place) -> Unit:
    """What systemd knows of the service. Raises OperatorError for an instance that nobody has set up."""
    unit = unit_named(place.service, is_users=place.is_users)
    paths = (place.env_file or place.main, place.state_dir, place.main.parent)
    if units.is_wanted(unit) or any(map(os.path.lexists, paths)):
        return unit
    instance = place.name.partition("@")[2]
    near = difflib.get_close_matches(instance, folders(is_users=place.is_users).instances(), n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise OperatorError(
        f"there is no instance {instance}: {place.env_file} is not there, and it was never started{hint}",
        ExitStatus.UNKNOWN,
    )


def installed(place: Place, unit: Unit, given: Mapping[str, str]) -> Installation:
    """The installed service with the environment that systemd gives it."""
    return Installation(place, *Source(given, place.env_file, place).read_all(), is_service=True, unit=unit)


def _find_here(*, asked: bool) -> Installation:
    place, env = places.here(Path.cwd()), dict(os.environ)
    settings = Source(env, None, place).read_all()[0].settings
    paths = (Path.cwd(), settings.state_dir, settings.main)
    owners = {path: path.lstat() for path in paths if os.path.lexists(path)}
    first = owners[Path.cwd()]
    for path, found in owners.items():
        # Root may be in another user's directory by chance.
        if not asked and found.st_uid != os.getuid():
            raise OperatorError(f"no service is installed, and {path} is not yours; give --here if you mean it")
        if os.getuid() == 0 and found.st_uid != first.st_uid:
            raise OperatorError(f"{path} and {Path.cwd()} belong to different users: root runs neither")
    if os.getuid() == first.st_uid == 0:
        for path in paths:
            check_that_root_alone_can_change(path)
    if changed := become((first.st_uid, first.st_gid)):
        env = MINIMAL | {name: value for name, value in env.items() if _HANDED_ON.fullmatch(name)} | changed
    return Installation(place, *Source(env, None, place).read_all(), is_service=False)
