"""Arguments: DIRECTORY LINES LENGTH TIMES. Numbered lines, written at DIRECTORY/go, TIMES times."""

import os
import sys
import time

directory, lines, length, times = sys.argv[1], *map(int, sys.argv[2:])
filler = b"x" * (length - 11)
data = memoryview(b"".join(b"%09d %s\n" % (number, filler) for number in range(lines)))

open(f"{directory}/ready", "w").close()
while not os.path.exists(f"{directory}/go"):
    time.sleep(0.001)
with open(f"{directory}/stamps", "w") as file:
    file.write(f"{time.time():.6f} {time.monotonic():.6f}\n")
for _ in range(times):
    rest = data
    while rest:
        rest = rest[os.write(1, rest[:65536]) :]
os.write(1, b"the last line\n")
