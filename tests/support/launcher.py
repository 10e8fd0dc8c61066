"""The command with a fault in it: launcher.py PATCH.py ARGUMENTS...; PATCH.py is executed first, in this process."""

import runpy
import sys

if __name__ == "__main__":
    patch = sys.argv.pop(1)
    runpy.run_path(patch)
    from sched_runner.cli import main

    sys.exit(main())
