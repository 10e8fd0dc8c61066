"""When a run begins: the scheduler from its start to its stop."""
