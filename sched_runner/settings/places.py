"""Where a scheduler keeps its things: an installed service, an instance of it, or a directory."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

# The name of an instance: systemd escapes other characters, and takes a colon for two directories.
INSTANCE = re.compile(r"\w[\w.-]*", re.ASCII)

# The command of the installed service: the package is PREFIX/lib/main-scheduler/sched_runner.
COMMAND = os.path.normpath(os.path.join(__file__, "../" * 5, "bin/main-scheduler"))


@dataclass(frozen=True)
class Place:
    """The name of a scheduler and its paths.

    ``env_file`` is None for a scheduler that was started by hand, ``workdir`` is None if main.py runs in its own
    directory.
    """

    name: str
    env_file: Path | None
    main: Path
    log_dir: Path
    state_dir: Path
    workdir: Path | None = None

    @property
    def alert(self) -> str:
        """The name of the units that tell of it, without their kind."""
        return self.name.replace("main-scheduler", "main-scheduler-alert", 1)

    @property
    def alert_units(self) -> list[str]:
        """Those of them that an operator enables."""
        return [f"{self.alert}.path", f"{self.alert}.timer"]


def installed(instance: str = "", root: Path = Path("/")) -> Place:
    """The place of the installed service, or of one of its instances."""
    name = f"main-scheduler@{instance}" if instance else "main-scheduler"
    return Place(
        name=name,
        env_file=root / "etc/default" / name,
        main=root / "opt/main-scheduler" / instance / "main.py",
        log_dir=root / "var/log" / name,
        state_dir=root / "var/lib" / name,
    )


def is_installed(root: Path = Path("/")) -> bool:
    """Whether this host has the service, also if somebody has removed its settings."""
    folders = ("usr/local/lib", "usr/lib", "lib", "etc")
    files = [root / folder / "systemd/system/main-scheduler.service" for folder in folders]
    return any(os.path.lexists(file) for file in (*files, root / "etc/default/main-scheduler"))


def instances(root: Path = Path("/")) -> list[str]:
    """The names of the instances that have settings, are enabled, or have been started."""
    wanted = (root / "etc/systemd/system").glob("*.wants/main-scheduler@*.service")
    settings = (root / "etc/default").glob("main-scheduler@*")
    started = (root / "var/lib").glob("main-scheduler@*")
    names = {path.name.removesuffix(".service") for path in wanted} | {path.name for path in (*settings, *started)}
    found = (name.partition("@")[2] for name in names)
    return sorted(name for name in found if INSTANCE.fullmatch(name))


def here(directory: Path) -> Place:
    """The place of a scheduler that was started by hand in ``directory``."""
    own = directory / "scheduler"
    return Place("main-scheduler", None, directory / "main.py", own, own)
