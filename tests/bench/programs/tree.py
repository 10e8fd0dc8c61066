"""A main.py with a child, a grandchild and a daemon, all deaf to TERM: their pids go to DIRECTORY/pids, by name."""

import os
import signal
import sys
import time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
directory = sys.argv[1]


def stay(name: str) -> None:
    with open(f"{directory}/pids", "a") as file:
        file.write(f"{name} {os.getpid()} {time.monotonic()}\n")
    time.sleep(60)


def child() -> None:
    if os.fork() == 0:
        stay("grandchild")
    stay("child")


def daemon() -> None:
    os.setsid()
    if os.fork() == 0:
        stay("daemon")
    os._exit(0)


for role in (child, daemon):
    if os.fork() == 0:
        role()
stay("main.py")
