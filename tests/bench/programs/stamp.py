"""A main.py that appends the wall clock and the monotonic clock to DIRECTORY/stamps at once."""

import sys
import time

wall, monotonic = time.time(), time.monotonic()
with open(f"{sys.argv[1]}/stamps", "a") as file:
    file.write(f"{wall:.6f} {monotonic:.6f}\n")
