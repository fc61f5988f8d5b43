"""The errors a user can meet.

Each message is one line: what was expected, what was found, how to fix it.  The command line prints it
without a traceback and exits with status 2; any other exception is a bug in this package.
"""

from __future__ import annotations


class MobileDiffusionError(Exception):
    """Base of every error whose cause is an input, never a defect in this package."""


class ConfigError(MobileDiffusionError):
    """A configuration field, preset or option has a value that is not supported."""


class CheckpointError(MobileDiffusionError):
    """A checkpoint is missing, malformed, or does not fit its configuration."""


class DataError(MobileDiffusionError):
    """Training data cannot be fetched, read or paired."""


class PromptError(MobileDiffusionError):
    """A prompt, seed, guidance scale or step count cannot be used."""


class TrainingError(MobileDiffusionError):
    """A training run cannot start, continue or be resumed."""


class ExportError(MobileDiffusionError):
    """A stage cannot be lowered, or an output cannot be written."""


class BundleError(MobileDiffusionError):
    """A bundle is damaged, incomplete, or of another schema."""


class ParityError(MobileDiffusionError):
    """An artifact does not compute what the PyTorch reference computes."""


class DeviceError(MobileDiffusionError):
    """A phone cannot be reached, or its app cannot do what it is asked."""
