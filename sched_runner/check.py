"""What ``main-scheduler check`` prints: every setting, and the next due times."""

import os
import shlex
from collections.abc import Iterator, Mapping

from sched_runner import words
from sched_runner.config import Settings
from sched_runner.service import first_due
from sched_runner.status import Status

_DUE_TIMES = 5


def text(settings: Settings, environ: Mapping[str, str], given: str, first: float) -> str:
    """For a person; ``given`` says where the settings come from, ``first`` is the next due time since the epoch."""
    return "\n".join(_lines(settings, environ, given, first))


def _lines(settings: Settings, environ: Mapping[str, str], given: str, first: float) -> Iterator[str]:
    for name, value in shown(settings).items():
        yield f"{name:19} {value or 'none':40} from {given if environ.get(name) else 'the default'}"
    if not os.path.exists(settings.main):  # Path.exists() raises where one may not look
        yield f"\n{settings.main} is not there (yet): a run would end as not started"
    yield "\nnext due times:"
    for number in range(_DUE_TIMES):
        yield f"  {words.clock_time(first + number * settings.interval.total_seconds())}"


def shown(settings: Settings) -> dict[str, str]:
    """Every setting with its value in words, empty where there is none."""
    return {
        "SCHED_ENV": settings.environment,
        "SCHED_INTERVAL": words.duration(settings.interval.total_seconds()),
        "SCHED_MAIN": str(settings.main),
        "SCHED_ARGS": shlex.join(settings.args),
        "SCHED_PYTHON": settings.python,
        "SCHED_START": settings.start,
        "SCHED_TIMEOUT": words.duration(settings.timeout),
        "SCHED_STOP_GRACE": words.duration(settings.stop_grace),
        "SCHED_LOG_DIR": str(settings.log_dir),
        "SCHED_STATE_DIR": str(settings.state_dir),
        "SCHED_ALERT_AFTER": str(settings.alert_after),
        "SCHED_ALERT_MAIL": settings.alert_mail,
        "SCHED_ALERT_COMMAND": shlex.join(settings.alert_command),
        "SCHED_PING_URL": settings.ping_url,
        "SCHED_METRICS_FILE": str(settings.metrics_file or ""),
    }


def next_due(settings: Settings, status: Status) -> float:
    """When the next run will be, these settings reloaded; where no scheduler runs, when it would be if one started.

    In seconds since the epoch.
    """
    stored, interval = status.state, settings.interval.total_seconds()
    if status.pid is not None and stored.next_due is not None:
        due = stored.next_due - (stored.interval or interval) + interval
    else:
        due = first_due(stored, settings, status.now, status.boottime, supervised=False)
    return max(status.now, due)
