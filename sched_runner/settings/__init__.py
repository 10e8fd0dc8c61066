"""The settings: what they are called, what they may be, and how they are read."""
