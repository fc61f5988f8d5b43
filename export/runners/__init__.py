"""One small class per way of running an artifact.  Each is imported from its own module, with its backend."""

from export.runners.runner import Runner

__all__ = ["Runner"]
