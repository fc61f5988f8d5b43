"""Faults planted into programs of every runtime, and the check that catches each."""
