"""Who is told without looking: pings, metrics, alerts."""
