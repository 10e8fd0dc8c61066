"""What is known of runs, and kept."""
