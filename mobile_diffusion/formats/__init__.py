"""Readers of checkpoint formats.  Each finds where our tensors are stored on disk; none of them loads a weight."""
