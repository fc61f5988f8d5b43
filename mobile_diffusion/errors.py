"""The errors that users see.

Each message is one line: what was expected, what was found, how to fix it.  The command line prints it without a
traceback and exits with status 2.  Any other exception is a bug in this package.
"""

from __future__ import annotations


class MobileDiffusionError(Exception):
    """Base of all errors that are caused by an input, not by a bug in this package.

    The message is one line, also where it repeats another library's reason of several.
    """

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())


class ConfigError(MobileDiffusionError):
    """A configuration field, preset or option has a value that is not supported."""


class CheckpointError(MobileDiffusionError):
    """A checkpoint is missing, malformed, or does not fit its configuration."""


class DataError(MobileDiffusionError):
    """Data cannot be downloaded, read or written, or a metric cannot be computed from it."""


class PromptError(MobileDiffusionError):
    """A prompt, seed, guidance scale or step count cannot be used."""


class TrainingError(MobileDiffusionError):
    """A training run cannot start, continue or be resumed."""


class ExportError(MobileDiffusionError):
    """A stage cannot be lowered, or an output cannot be written."""


class BundleError(MobileDiffusionError):
    """A bundle is damaged, incomplete, or has an unsupported schema version."""


class ParityError(MobileDiffusionError):
    """An artifact does not compute what the PyTorch reference computes."""


class DeviceError(MobileDiffusionError):
    """A phone cannot be reached, or its app cannot do what it was asked to do."""
