"""Tells others what happens, so that they need not look: pings, metrics, alerts."""
