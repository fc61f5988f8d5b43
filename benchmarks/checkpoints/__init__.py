"""Checkpoints as published: support, exports at full size."""
