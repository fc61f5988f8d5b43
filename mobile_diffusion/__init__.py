"""Text-to-image diffusion in PyTorch: open a checkpoint, draw with it, save it.

The names below are the public interface; everything else in the modules may change.  Each name is imported when it is
first used, so that `import mobile_diffusion` takes no time.

Importing the package sets one environment variable, if it is unset: how the threads of torch, once it is imported, wait
for each other (`waiting`).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mobile_diffusion.waiting import wait_asleep

if TYPE_CHECKING:
    from mobile_diffusion.checkpoint import Model, open_checkpoint, save_checkpoint
    from mobile_diffusion.errors import MobileDiffusionError
    from mobile_diffusion.formats.open_options import OpenOptions
    from mobile_diffusion.pipeline import Pipeline
    from mobile_diffusion.shipped import shipped_model

    __version__: str

__all__ = [
    "MobileDiffusionError",
    "Model",
    "OpenOptions",
    "Pipeline",
    "__version__",
    "open_checkpoint",
    "save_checkpoint",
    "shipped_model",
]

_MODULES = {
    "MobileDiffusionError": "mobile_diffusion.errors",
    "Model": "mobile_diffusion.checkpoint",
    "OpenOptions": "mobile_diffusion.formats.open_options",
    "Pipeline": "mobile_diffusion.pipeline",
    "open_checkpoint": "mobile_diffusion.checkpoint",
    "save_checkpoint": "mobile_diffusion.checkpoint",
    "shipped_model": "mobile_diffusion.shipped",
}
"""Where each public name is defined."""

wait_asleep()


def __getattr__(name: str) -> Any:
    """Import a public name on its first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("mobile-diffusion")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
