"""Where settings come from: the environment, and the environment file that is read again at a reload."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from sched_runner.settings import environment_file, table
from sched_runner.settings.environment_file import Content
from sched_runner.settings.places import Place
from sched_runner.settings.table import Settings, SettingsError


class Reading(NamedTuple):
    """Settings, the environment that they were read from, and warnings for the operator."""

    settings: Settings
    environ: Mapping[str, str]
    warnings: list[str]


class Source:
    """Reads settings and main.py's environment, again and again.

    The environment at the start is the truth: systemd has put the values of all environment files and drop-ins into it,
    in its own order. If the file had the same value of a name at the start, the name belongs to the file, and each
    reading takes its value from there. Any other name of the environment keeps its value. The file adds the names that
    the environment lacks.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        env_file: Path | None,
        place: Place,
        *,
        defaults: Mapping[str, str] | None = None,
    ) -> None:
        """``defaults`` is for names that neither the environment nor the file has (any more)."""
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
        """The current settings. Raises SettingsError."""
        reading, faults = self.read_all()
        if faults:
            raise SettingsError(faults)
        return reading

    def read_all(self) -> tuple[Reading, list[str]]:
        """The current settings, with defaults for the faulty ones, and a sentence for each fault."""
        content, self._first = self._first or self._content(), None
        environ = {**self._defaults, **content.values, **self._own}
        hidden = [name for name, value in content.values.items() if self._own.get(name, value) != value]
        stays = "the value that the environment had at the start stays, and not that of"
        warnings = [*content.warnings, *(f"{name}: {stays} {self._env_file}" for name in sorted(hidden))]
        settings, faults = table.load(environ, self._place)
        return Reading(settings, environ, warnings), content.faults + faults

    def _content(self, *, pipes: bool = False) -> Content:
        return Content({}, [], []) if self._env_file is None else environment_file.read(self._env_file, pipes=pipes)
