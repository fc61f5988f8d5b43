"""Training: memory, plans, losses."""
