"""Keeps one script running on a Linux host: at once, and then every interval."""

__version__ = "1.0.0"
