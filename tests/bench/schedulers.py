"""The tools that run main.py: how each is told to, and where its output goes. Others are added to ``SCHEDULERS``."""

import json
import os
import shlex
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measure import LeftOutError
from sandbox import CACHE, start

HERE = Path(__file__).parent
PACKAGE = Path(os.environ.get("BENCH_PACKAGE") or HERE.parents[1])
MEGABYTE = 1024 * 1024
HOURS = 14400.0


@dataclass(frozen=True)
class Job:
    """What a tool is to do: ``command`` at once and every so many seconds; ``directory`` is empty."""

    directory: Path
    command: list[Any]
    every: float = HOURS
    timeout: float = 3600.0
    grace: float = 10.0
    backups: int = 5
    environ: dict[str, str] = field(default_factory=dict)


Process = subprocess.Popen[bytes]


@dataclass(frozen=True)
class Scheduler:
    """A tool. ``log`` names its files; ``has`` what it can: log, rotate, at_once, seconds, minutes, limit, stop."""

    start: Callable[[Job], Process]
    log: str
    has: frozenset[str]
    first_due: Callable[[Path], float] = lambda directory: 0.0


def _need(program: Path) -> Path:
    if not program.exists():
        raise LeftOutError(f"no {program.name} here")
    return program


def _python(libraries: str) -> Path:
    return _need(CACHE / libraries / "bin/python")


def main_scheduler(libraries: str) -> Callable[[Job], Process]:
    """Of this checkout, with the libraries of a virtual environment."""

    def begin(job: Job) -> Process:
        command = ["-m", "sched_runner", "run"]
        if job.backups != 5:
            raised = f"import sched_runner.output.rotating_file as file; file.BACKUPS = {job.backups}"
            command = ["-c", f"{raised}; from sched_runner.cli import main; main(['run'])"]
        python, script, *arguments = map(str, job.command)
        settings = {
            "PYTHONPATH": str(PACKAGE),
            "SCHED_PYTHON": python,
            "SCHED_MAIN": script,
            "SCHED_ARGS": shlex.join(arguments),
            "SCHED_INTERVAL": str(job.every),
            "SCHED_TIMEOUT": str(job.timeout),
            "SCHED_STOP_GRACE": str(job.grace),
        }
        return start([_python(libraries), *command], job.directory, printed_to="/dev/null", **settings, **job.environ)

    return begin


def _due_of_main_scheduler(directory: Path) -> float:
    return float(json.loads((directory / "scheduler/state.json").read_text())["due"])


def obvious(libraries: str) -> Callable[[Job], Process]:
    """The script that most people write."""

    def begin(job: Job) -> Process:
        script = [HERE / "obvious.py", "main.log", job.backups, job.every, job.timeout]
        return start([_python(libraries), *script, *job.command], job.directory)

    return begin


def _due_of_obvious(directory: Path) -> float:
    return float((directory / "first_due").read_text())


def yacron(name: str) -> Callable[[Job], Process]:
    """yacron, or cronstable: they read the same file."""

    def begin(job: Job) -> Process:
        words = "".join(f"      - '{word}'\n" for word in job.command)
        (job.directory / "jobs.yaml").write_text(
            "jobs:\n"
            "  - name: main\n"
            f"    command:\n{words}"
            f'    schedule: "{"* * * * *" if job.every == 60 else "@reboot"}"\n'
            "    captureStdout: true\n"
            "    captureStderr: true\n"
            f"    executionTimeout: {job.timeout}\n"
            f"    killTimeout: {job.grace}\n"
            "    concurrencyPolicy: Forbid\n"
        )
        return start([_need(CACHE / name / "bin" / name), "-c", "jobs.yaml"], job.directory)

    return begin


def supervisor(job: Job) -> Process:
    """Starts main.py once."""
    (job.directory / "supervisor.conf").write_text(
        "[supervisord]\nnodaemon=true\nlogfile=supervisord.log\npidfile=supervisord.pid\n"
        f"[program:main]\ncommand={shlex.join(map(str, job.command))}\n"
        "autorestart=false\nstartsecs=0\nredirect_stderr=true\nstdout_logfile=main.log\n"
        f"stdout_logfile_maxbytes=1MB\nstdout_logfile_backups={job.backups}\nstopwaitsecs={job.grace:.0f}\n"
    )
    return start([_need(CACHE / "supervisor/bin/supervisord"), "-c", "supervisor.conf"], job.directory)


def circus(job: Job) -> Process:
    """Starts main.py once."""
    (job.directory / "circus.ini").write_text(
        "[circus]\nendpoint = ipc://circus.endpoint\npubsub_endpoint = ipc://circus.pubsub\n"
        f"[watcher:main]\ncmd = {shlex.join(map(str, job.command))}\nsingleton = True\nrespawn = False\n"
        f"copy_env = True\ngraceful_timeout = {job.grace}\n"
        "stdout_stream.class = FileStream\nstdout_stream.filename = main.log\n"
        f"stdout_stream.max_bytes = {MEGABYTE}\nstdout_stream.backup_count = {job.backups}\n"
    )
    return start([_need(CACHE / "circus/bin/circusd"), "circus.ini"], job.directory)


def cron(job: Job) -> Process:
    """The daemon of Debian, with no crontab but ours: the system's own jobs must not run."""
    if os.geteuid() != 0:
        raise LeftOutError("needs root")
    (job.directory / "crontab").write_text(f"* * * * * root {shlex.join(map(str, job.command))}\n")
    (job.directory / "empty").mkdir()
    hide = "mount --bind crontab /etc/crontab && mount --bind empty /etc/cron.d && "
    hide += "mount --bind empty /var/spool/cron/crontabs && "
    if Path("/run/crond.pid").exists():
        hide += "mount --bind $(mktemp -p .) /run/crond.pid && "
    cron = _need(Path("/usr/sbin/cron"))
    (job.directory / "crontab").chmod(0o644)
    return start(["unshare", "--mount", "sh", "-c", f"{hide} exec {cron} -f"], job.directory)


def busybox(job: Job) -> Process:
    """crond of busybox."""
    if os.geteuid() != 0:
        raise LeftOutError("needs root")
    (job.directory / "root").write_text(f"* * * * * {shlex.join(map(str, job.command))}\n")
    return start([_need(CACHE / "busybox/bin/busybox"), "crond", "-f", "-c", job.directory], job.directory)


def nothing(job: Job) -> Process:
    """main.py alone, its output to a file."""
    return start(job.command, job.directory)


_OURS = frozenset({"log", "rotate", "at_once", "seconds", "limit", "stop"})
_YACRON = frozenset({"log", "at_once", "minutes", "limit", "stop"})
_SUPERVISOR = frozenset({"log", "rotate", "at_once", "stop"})

SCHEDULERS = {
    "main-scheduler": Scheduler(main_scheduler("debian"), "scheduler/scheduler.log*", _OURS, _due_of_main_scheduler),
    "main-scheduler (PyPI)": Scheduler(
        main_scheduler("newest"), "scheduler/scheduler.log*", _OURS, _due_of_main_scheduler
    ),
    "obvious": Scheduler(obvious("debian"), "main.log*", _OURS, _due_of_obvious),
    "obvious (PyPI)": Scheduler(obvious("newest"), "main.log*", _OURS, _due_of_obvious),
    "yacron": Scheduler(yacron("yacron"), "printed", _YACRON),
    "cronstable": Scheduler(yacron("cronstable"), "printed", _YACRON),
    "supervisor": Scheduler(supervisor, "main.log*", _SUPERVISOR),
    "circus": Scheduler(circus, "main.log*", _SUPERVISOR),
    "cron": Scheduler(cron, "", frozenset({"minutes"})),
    "busybox crond": Scheduler(busybox, "", frozenset({"minutes"})),
    "no tool": Scheduler(nothing, "printed", frozenset({"log", "at_once"})),
}
