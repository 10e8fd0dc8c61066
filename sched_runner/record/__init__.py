"""The records of runs and of the scheduler, and the files that keep them."""
