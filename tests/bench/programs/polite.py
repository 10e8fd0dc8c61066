"""A main.py that takes 3 s, or ends at TERM; its pid goes to DIRECTORY/pids."""

import os
import sys
import time

with open(f"{sys.argv[1]}/pids", "a") as file:
    file.write(f"main.py {os.getpid()} {time.monotonic()}\n")
time.sleep(3)
