"""What the patches of launcher.py are made of."""

import datetime as datetime_module
import os
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def shift_clock(file: str) -> None:
    """From now on the wall clock of this process is off by the seconds in the file, read anew at each look."""
    real_time, real_datetime = time.time, datetime_module.datetime

    def shifted() -> float:
        return real_time() + float(Path(file).read_text())

    class AnyDatetime(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, real_datetime)

    class Shifted(real_datetime, metaclass=AnyDatetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return real_datetime.fromtimestamp(shifted(), tz)

    time.time = shifted
    time.time_ns = lambda: int(shifted() * 1e9)
    datetime_module.datetime = Shifted  # type: ignore[misc]


def set_offset(file: Path, seconds: float) -> None:
    """For the test: set that clock."""
    new = file.with_suffix(".new")
    new.write_text(str(seconds))
    new.replace(file)


def wrap(name: str, around: Callable[..., Any]) -> None:
    """Replace ``module:Class.function`` by ``around``, which gets the original and then its arguments."""
    module, _, path = name.partition(":")
    owner: Any = import_module(module)
    *parents, last = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original = getattr(owner, last)
    setattr(owner, last, lambda *args, **options: around(original, *args, **options))


def block_at(name: str, fifo: str, when: Callable[..., bool] = lambda *args, **options: True) -> None:
    """Where the function is called, write a line into the FIFO and stay there for ever."""

    def around(original: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if when(*args, **options):
            Path(fifo).write_text("here\n")
            while True:
                os.read(os.eventfd(0), 8)
        return original(*args, **options)

    wrap(name, around)
