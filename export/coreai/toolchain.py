"""Imports Apple's converter when it is first needed, and keeps its notes off the terminal.

coreai-core's wheels exist for macOS and for Linux with glibc 2.34 or newer, and for Python 3.11 to 3.14.  Elsewhere
everything but Core AI works, and one line says why Core AI does not.
"""

from __future__ import annotations

import importlib
import importlib.util
import platform
from types import ModuleType

from export.quiet import errors_only
from mobile_diffusion.errors import ExportError

NOISY_LOGGERS = ("coreai", "coreai_torch", "torchao", "torch.utils._pytree", "torch.export")
GLIBC = (2, 34)
"""The oldest C library that the Linux wheels run on."""


def check() -> None:
    """Raise `ExportError` unless Apple's packages are installed; imports none of them."""
    for name in ("coreai", "coreai_torch"):
        if importlib.util.find_spec(name) is None:
            raise ExportError(
                f"Core AI: expected Apple's coreai packages, got {reason(ModuleNotFoundError(name=name))}"
            )


def import_coreai(name: str) -> ModuleType:
    """Return a module of coreai-core or coreai-torch; raises `ExportError` with the reason if it cannot be imported."""
    try:
        with errors_only(NOISY_LOGGERS, prints=True):
            return importlib.import_module(name)
    except (ImportError, OSError) as error:
        raise ExportError(f"Core AI: expected Apple's coreai packages, got {reason(error)}") from None


def reason(error: Exception) -> str:
    """Return why the packages cannot be imported, and what to do about it, in words."""
    kind, version = platform.libc_ver()
    found = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if kind == "glibc" and found < GLIBC:
        return f"glibc {version}, for which there is no wheel: it needs 2.34; export for coreml, or on a newer system"
    if isinstance(error, ModuleNotFoundError):
        return f"no package {error.name}: pip install 'mobile-diffusion[coreai]'"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
