"""What does not work for now: told once when it begins, and once when it is over."""

import logging
from collections.abc import Callable

log = logging.getLogger(__name__)


def fault_of(attempt: Callable[[], object]) -> str:
    """What the system said where the attempt failed, or an empty string."""
    try:
        attempt()
    except OSError as error:
        return str(error)
    return ""


class Complaints:
    """Remembers which things have been complained of."""

    def __init__(self) -> None:
        self._standing: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._standing

    def tell(self, name: str, fault: str, *, done: str = "written") -> None:
        """``fault`` says why ``name`` cannot be ``done``; it is empty where it can."""
        if fault and name not in self._standing:
            log.warning("%s cannot be %s, the schedule goes on: %s", name, done, fault)
            self._standing.add(name)
        elif not fault and name in self._standing:
            log.warning("%s can be %s again", name, done)
            self._standing.remove(name)
