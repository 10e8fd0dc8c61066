"""Where lines go: log files, journal, terminal."""
