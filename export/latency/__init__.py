"""How long each stage takes, and under what conditions."""
