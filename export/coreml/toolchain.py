"""Imports coremltools when it is first needed, and silences its warnings.

coremltools warns about each library that is newer than it knows (such as torch) and about macOS components that are
missing on Linux, and it draws a progress bar for each pass.  A user does not need these: pyproject.toml pins the
versions, and our tests check them.  Errors are still shown.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from export.quiet import errors_only
from mobile_diffusion.errors import ExportError

NOISY_LOGGERS = ("coremltools", "torchao", "torch.utils._pytree")
PROGRESS_BARS = (
    ("coremltools.converters.mil.frontend.torch.ops", "_tqdm"),
    ("coremltools.converters.mil.mil.passes.pass_pipeline", "tqdm"),
)
"""The modules of coremltools with progress bars that no option disables."""


@contextmanager
def without_bars() -> Iterator[None]:
    """Replace coremltools' progress bars by plain iteration."""
    modules = [(importlib.import_module(name), attribute) for name, attribute in PROGRESS_BARS]
    bars = [getattr(module, attribute) for module, attribute in modules]
    for (module, attribute), bar in zip(modules, bars, strict=True):
        setattr(module, attribute, functools.partial(bar, disable=True))
    try:
        yield
    finally:
        for (module, attribute), bar in zip(modules, bars, strict=True):
            setattr(module, attribute, bar)


@contextmanager
def without_validation() -> Iterator[None]:
    """Skip coremltools' check of its own program after each of its hundred passes.

    Each check walks the whole graph; together they take a third of the remaining conversion time.  The finished program
    is checked in the same way when it is written.
    """
    manager = importlib.import_module("coremltools.converters.mil.mil.passes.pass_pipeline").PassPipelineManager
    program = importlib.import_module("coremltools.converters.mil.mil.program").Program
    apply, validate = manager.apply_pipeline, program.validate

    def apply_unchecked(*args: Any, **options: Any) -> None:
        program.validate = lambda *args, **options: None
        try:
            apply(*args, **options)
        finally:
            program.validate = validate

    manager.apply_pipeline = staticmethod(apply_unchecked)
    try:
        yield
    finally:
        manager.apply_pipeline = staticmethod(apply)


def import_coremltools() -> ModuleType:
    """Return the module coremltools; raises `ExportError` that says how to install it if it is missing."""
    try:
        with errors_only(NOISY_LOGGERS):
            return importlib.import_module("coremltools")
    except ImportError as error:
        raise ExportError(
            f"expected coremltools to be installed, got {error}; run: pip install coremltools==9.0"
        ) from None
