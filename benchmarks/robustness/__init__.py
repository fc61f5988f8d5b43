"""Real commands that are killed, run out of disk, run twice at once, and run in odd environments."""
