"""Where settings come from: the environment, and the environment file that is read again at a reload."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sched_runner.settings import environment_file, table
from sched_runner.settings.environment_file import Content
from sched_runner.settings.places import Place
from sched_runner.settings.table import Settings, SettingsError


class Reading(NamedTuple):
    """Settings, the environment that they were read from, and what an operator should know of both."""

    settings: Settings
    environ: Mapping[str, str]
    warnings: list[str]


class Source:
    """Reads settings and main.py's environment, again and again.

    What the environment says at the start is the truth: systemd has put there what all environment files and drop-ins
    say, in its own order. A name whose value then equalled the file's belongs to the file, and is read from it anew;
    any other belongs to the environment and stays. The file fills in what the environment lacks.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        env_file: Path | None,
        place: Place,
        *,
        defaults: Mapping[str, str] | None = None,
    ) -> None:
        """``defaults`` is for names that neither of the two has (any more)."""
        self._env_file = env_file
        self._place = place
        self._defaults = defaults or {}
        content = self._content(pipes=True)
        self._first: Content | None = content
        self._own = {name: value for name, value in environ.items() if content.values.get(name) != value}

    @property
    def is_readable_again(self) -> bool:
        """Whether there is a file that a reload can read."""
        return self._env_file is not None

    def read(self) -> Reading:
        """The settings of now. Raises SettingsError."""
        reading, faults = self.read_all()
        if faults:
            raise SettingsError(faults, reading.settings)
        return reading

    def read_all(self) -> tuple[Reading, list[str]]:
        """The settings of now, with defaults for the faulty ones, and what is wrong with these."""
        content, self._first = self._first or self._content(), None
        environ = {**self._defaults, **content.values, **self._own}
        hidden = [name for name, value in content.values.items() if self._own.get(name, value) != value]
        warnings = [*content.warnings, *(_hidden(name, self._env_file) for name in sorted(hidden))]
        try:
            return Reading(table.load(environ, self._place, content.faults), environ, warnings), []
        except SettingsError as error:
            return Reading(error.settings, environ, warnings), error.faults

    def _content(self, *, pipes: bool = False) -> Content:
        return Content({}, [], []) if self._env_file is None else environment_file.read(self._env_file, pipes=pipes)


def _hidden(name: str, env_file: Path | None) -> str:
    return f"{name}: the environment had another value at the start than {env_file} has; that value stays"
