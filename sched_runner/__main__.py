"""The way in: ``python3 -m sched_runner``."""

import sys

from sched_runner.cli import main

sys.exit(main())
