"""Export a checkpoint to a phone's model, open the result, and verify it.

The names below are the public interface; what else lies in the modules may change.  Each name is imported when it is
first used, so that `import export` takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mobile_diffusion.quoting import quoted

if TYPE_CHECKING:
    from export.bundle.bundle import Bundle, open_bundle
    from export.coreai.options import CoreAIOptions
    from export.coreml.options import CoreMLOptions
    from export.job.entry import export_target
    from export.job.run import Exported
    from export.parity.report import ParityReport
    from export.verify import Verification, verify_bundle

    __version__: str

__all__ = [
    "Bundle",
    "CoreAIOptions",
    "CoreMLOptions",
    "Exported",
    "ParityReport",
    "Verification",
    "__version__",
    "export_target",
    "open_bundle",
    "verify_bundle",
]

_MODULES = {
    "Bundle": "export.bundle.bundle",
    "CoreAIOptions": "export.coreai.options",
    "CoreMLOptions": "export.coreml.options",
    "Exported": "export.job.run",
    "ParityReport": "export.parity.report",
    "Verification": "export.verify",
    "export_target": "export.job.entry",
    "open_bundle": "export.bundle.bundle",
    "verify_bundle": "export.verify",
}
"""Where each public name is defined."""


def __getattr__(name: str) -> Any:
    """Import a public name on its first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("mobile-diffusion")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {quoted(name)}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
