"""One small class per way of running an artifact.  Each is imported from its own module, with its backend."""

from export.runners.protocol import Runner

__all__ = ["Runner"]
