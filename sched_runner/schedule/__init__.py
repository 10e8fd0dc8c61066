"""When a run is due, and the scheduler that keeps to it."""
