"""Where a scheduler keeps its things: an installed service, an instance of it, or a directory."""

from dataclasses import dataclass
from pathlib import Path


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


def is_installed() -> bool:
    """Whether this host has the service."""
    env_file = installed().env_file
    return env_file is not None and env_file.exists()


def here(directory: Path) -> Place:
    """The place of a scheduler that was started by hand in ``directory``."""
    own = directory / "scheduler"
    return Place("main-scheduler", None, directory / "main.py", own, own)
