"""Prints ready, and then every signal it gets; ends by itself only after an hour, or by KILL."""

import signal
import sys
import time

names = {signal.SIGTERM: "TERM", signal.SIGINT: "INT", signal.SIGHUP: "HUP", signal.SIGUSR1: "USR1"}
for number, name in names.items():
    signal.signal(number, lambda number, frame, name=name: print(name))
print("ready")
until = time.monotonic() + 3600
while time.monotonic() < until:
    time.sleep(1)
sys.exit(1)
