"""What most people write: APScheduler, subprocess.run, logging. Arguments: LOG BACKUPS SECONDS TIMEOUT COMMAND…"""

import logging
import signal
import subprocess
import sys
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from apscheduler.schedulers.blocking import BlockingScheduler

log = logging.getLogger("scheduler")


def run(command: list[str], timeout: float) -> None:
    log.info("starting %s", command)
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        log.exception("took longer than %s s", timeout)
        return
    except OSError:
        log.exception("cannot be started")
        return
    for line in done.stdout.splitlines():
        log.info(line)
    for line in done.stderr.splitlines():
        log.error(line)
    if done.returncode == 0:
        Path("last_success.txt").write_text(datetime.now(UTC).isoformat())
        log.info("succeeded")
    else:
        log.error("failed with %d", done.returncode)


def main() -> None:
    logfile, backups, seconds, timeout, *command = sys.argv[1:]
    handler = RotatingFileHandler(logfile, maxBytes=1024 * 1024, backupCount=int(backups))
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)

    scheduler = BlockingScheduler(timezone=UTC)
    first = datetime.now(UTC)
    Path("first_due").write_text(str(first.timestamp()))

    def stop(*_: Any) -> None:
        scheduler.shutdown()

    signal.signal(signal.SIGTERM, stop)
    scheduler.add_job(run, "interval", seconds=float(seconds), next_run_time=first, args=(command, float(timeout)))
    scheduler.start()


if __name__ == "__main__":
    main()
