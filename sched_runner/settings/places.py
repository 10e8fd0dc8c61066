"""The paths of a scheduler: of the installed service, of an instance of it, or of one started in a directory."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# The name of an instance: systemd escapes other characters, and reads a name with a colon as two directories.
INSTANCE = re.compile(r"\w[\w.-]*", re.ASCII)
_OURS = "main-scheduler*"
_USER_UNITS = ("/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user")

# The command of the installed service: the package is PREFIX/lib/main-scheduler/sched_runner.
COMMAND = os.path.normpath(os.path.join(__file__, "../" * 5, "bin/main-scheduler"))
# Where an installation puts the documentation.
_DOCS = os.path.normpath(os.path.join(COMMAND, "../../share/doc/main-scheduler"))


def page(name: str) -> str:
    """The path of a page of the documentation: where it is installed, or else in the project's own folder."""
    installed = os.path.join(_DOCS, name)
    return installed if os.path.exists(installed) else name


def journal_of(unit: str, *, is_users: bool) -> str:
    """The command that shows the journal of a unit: of the system's service manager, or of a user's."""
    return f"journalctl {'--user ' if is_users else ''}-u {unit}"


@dataclass(frozen=True)
class Place:
    """The name of a scheduler and its paths.

    ``env_file`` is None for a scheduler that was started by hand, ``workdir`` is None if main.py runs in its own
    directory, ``is_users`` says that the scheduler is a service of a user's service manager, and not of the system's.
    """

    name: str
    env_file: Path | None
    main: Path
    log_dir: Path
    state_dir: Path
    workdir: Path | None = None
    is_users: bool = False

    @property
    def service(self) -> str:
        """The name of this scheduler's service unit."""
        return f"{self.name}.service"

    @property
    def journal(self) -> str:
        """The command that shows the journal of this scheduler."""
        return journal_of(self.name, is_users=self.is_users)

    @property
    def systemctl(self) -> str:
        """The command that speaks to the service manager of this scheduler."""
        return "systemctl --user" if self.is_users else "systemctl"

    @property
    def alert(self) -> str:
        """The name of the units that send the alerts of this scheduler, without ``.path`` and the like."""
        return self.name.replace("main-scheduler", "main-scheduler-alert", 1)

    @property
    def alert_units(self) -> list[str]:
        """The names of the alert units that an operator enables."""
        return [f"{self.alert}.path", f"{self.alert}.timer"]


@dataclass(frozen=True)
class Folders:
    """The folders of the services of one service manager: the system's, or a user's.

    ``units`` are the folders of unit files; units are enabled in the first of them. ``suffix`` ends the name of a
    service's environment file.
    """

    settings: Path
    scripts: Path
    logs: Path
    states: Path
    units: tuple[Path, ...]
    suffix: str = ""
    is_users: bool = False

    def place(self, instance: str = "") -> Place:
        """The place of the service, or of one of its instances."""
        name = f"main-scheduler@{instance}" if instance else "main-scheduler"
        return Place(
            name=name,
            env_file=self.settings / f"{name}{self.suffix}",
            main=self.scripts / instance / "main.py",
            log_dir=self.logs / name,
            state_dir=self.states / name,
            is_users=self.is_users,
        )

    def is_installed(self) -> bool:
        """Whether the service has a unit file or an environment file."""
        files = [folder / "main-scheduler.service" for folder in self.units]
        return any(map(os.path.lexists, [*files, self.settings / f"main-scheduler{self.suffix}"]))

    def instances(self) -> list[str]:
        """The names of the instances that have settings, are enabled, or have been started."""
        found = (
            *((path.name, self.suffix) for path in self.settings.glob(f"main-scheduler@*{self.suffix}")),
            *((path.name, ".service") for path in self.units[0].glob("*.wants/main-scheduler@*.service")),
            *((path.name, "") for path in self.states.glob("main-scheduler@*")),
        )
        names = {name.partition("@")[2].removesuffix(suffix) for name, suffix in found}
        return sorted(name for name in names if INSTANCE.fullmatch(name))


def of_system(root: Path = Path("/")) -> Folders:
    """The folders of the system's service manager."""
    folders = ("etc", "usr/local/lib", "usr/lib", "lib")
    return Folders(
        settings=root / "etc/default",
        scripts=root / "opt/main-scheduler",
        logs=root / "var/log",
        states=root / "var/lib",
        units=tuple(root / folder / "systemd/system" for folder in folders),
    )


def of_user(home: Path, environ: Mapping[str, str]) -> Folders:
    """The folders of the service manager of a user with this home (systemd.exec(5), StateDirectory=; systemd.unit(5)).

    Before version 254, systemd keeps state and logs in the user's configuration directory.
    """

    def base(name: str, default: str) -> Path:
        path = Path(environ.get(name, ""))
        return path if path.is_absolute() else home / default  # systemd ignores a relative path too

    config, state = base("XDG_CONFIG_HOME", ".config"), base("XDG_STATE_HOME", ".local/state")
    data = home / ".local/share"
    is_old = not any(state.glob(_OURS)) and any(path.is_dir() for path in config.glob(_OURS))
    states = config if is_old else state
    return Folders(
        settings=config,
        scripts=data / "main-scheduler",
        logs=states / "log",
        states=states,
        units=(config / "systemd/user", data / "systemd/user", *map(Path, _USER_UNITS)),
        suffix=".env",
        is_users=True,
    )


def installed(instance: str = "") -> Place:
    """The place of the service of the system, or of one of its instances."""
    return of_system().place(instance)


def here(directory: Path) -> Place:
    """The place of a scheduler that was started by hand in ``directory``."""
    own = directory / "scheduler"
    return Place("main-scheduler", None, directory / "main.py", own, own)
