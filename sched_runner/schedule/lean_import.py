"""APScheduler's plug-ins, of which none is used."""

import contextlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any


@contextlib.contextmanager
def no_plugins() -> Iterator[None]:
    """Within this, APScheduler 3.9 (Debian 12) is imported without its search for plug-ins.

    It uses pkg_resources for that, which takes a third of the time from start to main.py, and 7 MiB.
    """
    stand_in: Any = ModuleType("pkg_resources")
    stand_in.DistributionNotFound = LookupError
    stand_in.get_distribution = {}.__getitem__
    stand_in.iter_entry_points = lambda group: ()
    before = sys.modules.setdefault("pkg_resources", stand_in)
    try:
        yield
    finally:
        if before is stand_in:
            del sys.modules["pkg_resources"]
