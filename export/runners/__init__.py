"""One small class per way to run an artifact; importing its module imports its backend."""

from export.runners.runner import Runner

__all__ = ["Runner"]
