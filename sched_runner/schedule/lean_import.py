"""Import APScheduler without the modules that it imports but that this scheduler never uses.

Those modules would take a quarter of a scheduler's memory, and a quarter of the time from start to main.py.
"""

import os
import re
import sys
from contextlib import suppress
from datetime import UTC
from functools import partial
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

_USED = ("events", "executors.pool", "schedulers.blocking", "triggers.base")
_METADATA = re.compile(r"apscheduler-([^-]+)(-.+)?\.(dist|egg)-info", re.IGNORECASE)
# To add the next series, first read what its modules import and what they do with that.
_KNOWN = re.compile(r"3\.(9|10|11)\.")


class _StandIn(ModuleType):
    """A module with only what APScheduler takes from the real one: an import of anything else from it fails."""

    def __init__(self, name: str, *functions: str, **content: Any) -> None:
        super().__init__(name)
        vars(self).update({function: partial(_call, name, function) for function in functions}, **content)


def _call(module: str, function: str, *args: Any, **kwargs: Any) -> Any:
    """Call the real function. It is imported only now, and not if it is never called."""
    return getattr(import_module(module), function)(*args, **kwargs)


def import_apscheduler() -> None:
    """Import APScheduler while stand-ins are in the place of modules that it does not need, and take them out again.

    If its version is unknown or anything goes wrong, this leaves no trace, and the next import of APScheduler is a
    plain one. Call this before the process has other threads, for they could import a stand-in.
    """
    keep = set(sys.modules)
    try:
        with suppress(Exception):  # if APScheduler itself is at fault, the plain import will show it
            keep |= _import_with_stand_ins(keep)
    finally:
        for name in sys.modules.keys() - keep:
            del sys.modules[name]


def _import_with_stand_ins(before: set[str]) -> set[str]:
    """Import APScheduler; gives the names of the new modules that are real. Raises an error if one keeps a stand-in."""
    for stand_in in _stand_ins(_known_version()):
        sys.modules.setdefault(stand_in.__name__, stand_in)
    for name in _USED:
        import_module(f"apscheduler.{name}")
    new = {name for name in sys.modules.keys() - before if not isinstance(sys.modules[name], _StandIn)}
    if any(isinstance(value, _StandIn) for name in new for value in vars(sys.modules[name]).values()):
        raise ImportError("a module would go on using a stand-in")
    return new


def _known_version() -> str:
    """The version of APScheduler, from the name of the directory beside it. Raises an error if we do not know it."""
    package: Any = PathFinder.find_spec("apscheduler")
    beside = map(_METADATA.fullmatch, os.listdir(Path(package.origin).parents[1]))
    (version,) = (found[1] for found in beside if found)
    if not _KNOWN.match(version):
        raise ImportError(f"nobody has read what APScheduler {version} imports")
    return version


def _stand_ins(version: str) -> tuple[_StandIn, ...]:
    """Stand-ins for modules that APScheduler does not need. It then finds no plug-ins: this scheduler uses none."""
    found = SimpleNamespace(version=version)
    errors = {"DistributionNotFound": ImportError, "PackageNotFoundError": ImportError}
    return (
        _StandIn("asyncio", "iscoroutinefunction"),
        _StandIn("concurrent.futures.process", BrokenProcessPool=type("BrokenProcessPool", (Exception,), {})),
        _StandIn("importlib.metadata", version=lambda _: version, entry_points=lambda group: (), **errors),
        _StandIn("pkg_resources", get_distribution=lambda _: found, iter_entry_points=lambda _: (), **errors),
        _StandIn("pytz", "timezone", "FixedOffset", utc=UTC),
        _StandIn("tzlocal", "get_localzone"),
    )
