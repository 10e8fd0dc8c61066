"""The tools that only take a pipe and write files. Others are added to ``LOGGERS``: command line and files."""

from pathlib import Path
from shutil import which
from typing import NamedTuple

from measure import LeftOutError
from sandbox import start
from schedulers import MEGABYTE, Job, Process


class Logger(NamedTuple):
    """``command`` has ``{backups}`` in it; ``log`` names its files."""

    command: str
    log: str


LOGGERS = {
    "rotatelogs": Logger("rotatelogs -n {backups} main.log 1M", "main.log*"),
    "svlogd": Logger("svlogd log", "log/[@c]*"),
    "svlogd -tt": Logger("svlogd -tt log", "log/[@c]*"),
    "multilog": Logger(f"multilog s{MEGABYTE} n{{backups}} ./log", "log/[@c]*"),
    "multilog t": Logger(f"multilog t s{MEGABYTE} n{{backups}} ./log", "log/[@c]*"),
    "s6-log": Logger(f"s6-log s{MEGABYTE} n{{backups}} ./log", "log/[@c]*"),
    "s6-log T": Logger(f"s6-log T s{MEGABYTE} n{{backups}} ./log", "log/[@c]*"),
    "cat": Logger("cat", "printed"),
}


def begin(name: str, job: Job) -> Process:
    """main.py piped into the logger; the process is the logger's."""
    program, *arguments = LOGGERS[name].command.format(backups=job.backups).split()
    if not which(program):
        raise LeftOutError(f"no {program} here")
    Path(job.directory / "log").mkdir()
    Path(job.directory / "log/config").write_text(f"s{MEGABYTE}\nn{job.backups}\n")  # svlogd's
    # The pipe stays open, so that the logger can be looked at when all is written.
    script = '{ "$@"; exec sleep 600; } | exec ' + " ".join([program, *arguments])
    # bash: its lastpipe runs the last of a pipe in the shell itself, so that exec makes the logger its process.
    return start(["bash", "-O", "lastpipe", "-c", script, "bash", *job.command], job.directory)
