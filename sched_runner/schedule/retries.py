"""When a failed run is made again: pure. The wait for a retry is elapsed time, and a retry never moves a due time."""

from sched_runner import clock
from sched_runner.record.outcome import FAILURES
from sched_runner.record.run_record import Run
from sched_runner.record.state import Retry, State
from sched_runner.settings.table import Settings


def after(run: Run, settings: Settings, now: float, boottime: float) -> Retry | None:
    """The retry of a run that has ended; None if there is none.

    ``now`` is in seconds since the epoch, ``boottime`` is ``now`` on the boot clock.
    """
    if run.outcome not in FAILURES or run.attempt > settings.retries:
        return None
    wait = settings.retry_after * 2.0 ** min(run.attempt - 1, 64)
    return Retry(now + wait, boottime + wait, run.attempt + 1)


def resumed(previous: State, settings: Settings, now: float, boottime: float) -> Retry | None:
    """The retry that the previous scheduler had planned, at once if its time has passed; None if there is none."""
    retry = previous.retry
    if retry is None or retry.attempt > settings.retries + 1:
        return None
    same_boot = previous.boot_id == clock.boot_id()
    wait = max(0.0, retry.boottime - boottime if same_boot else retry.when - now)
    return Retry(now + wait, boottime + wait, retry.attempt)
