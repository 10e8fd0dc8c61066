"""Where settings come from: the environment and the environment file."""

import sys
from collections.abc import Mapping
from pathlib import Path

from sched_runner import config
from sched_runner.config import Place, Settings


class Source:
    """Settings and main.py's environment, read again at each call.

    systemd has put the environment file's values into the environment. A name whose value there equals the
    file's belongs to the file, and is read from it anew. ``file_wins`` over the rest too, as it does over what systemd
    and the unit set (systemd.exec(5), EnvironmentFile=); else the file fills in what the environment lacks.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        env_file: Path | None,
        place: Place,
        *,
        defaults: Mapping[str, str] | None = None,
        file_wins: bool = False,
    ) -> None:
        self._env_file = env_file
        self._place = place
        self._defaults = defaults or {}
        self._file_wins = file_wins
        # Read once for the first call too: a pipe gives its text only once.
        self._first: tuple[dict[str, str], list[str]] | None = self._read()
        values = self._first[0]
        self._own = {name: value for name, value in environ.items() if values.get(name) != value}

    def __call__(self) -> tuple[Settings, Mapping[str, str]]:
        """The settings, and the environment that they were read from. Raises SettingsError."""
        values, faults = self._first or self._read()
        self._first = None
        first, second = (self._own, values) if self._file_wins else (values, self._own)
        environ = {**self._defaults, **first, **second}
        return config.load(environ, self._place, sys.executable, faults), environ

    def _read(self) -> tuple[dict[str, str], list[str]]:
        if self._env_file is None:
            return {}, []
        from sched_runner import env_file  # dotenv takes 27 ms

        return env_file.read(self._env_file)
