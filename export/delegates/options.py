"""The choices of a user who exports for ExecuTorch on an iPhone: which of Apple's runtimes runs the stages, and how.

Core ML is the default.  ExecuTorch's Swift package has a runtime for that delegate, on iOS 16 and later.  ExecuTorch
1.5.1 can also write programs for Core AI, but not run them: its source says that this "is not wired up yet".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from export.coreai.options import CoreAIOptions
from export.coreml.options import CoreMLOptions
from export.mixed.names import CHECKPOINT, parse
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted

DELEGATES = ("coreml", "coreai")
"""Runtimes that can be a delegate, by their names in the manifest."""


@dataclass(frozen=True)
class DelegateOptions:
    """Choices of one export for ExecuTorch.

    >>> from export.delegates.options import DelegateOptions
    >>> DelegateOptions().settings()["delegate"]
    'coreml'
    """

    delegate: str = "coreml"
    """One of DELEGATES."""
    coreml: CoreMLOptions = field(default_factory=CoreMLOptions)
    """Layout, oldest system and compression of the Core ML packages inside."""
    coreai: CoreAIOptions = field(default_factory=CoreAIOptions)
    """Arithmetic and preferred compute unit of the Core AI programs inside."""
    mixed_precision: str = CHECKPOINT
    """Modules that stay in float32, as in `CoreMLOptions`; by default what the choices for the programs inside say."""

    def __post_init__(self) -> None:
        if self.delegate not in DELEGATES:
            raise ConfigError(f"delegate: expected one of {', '.join(DELEGATES)}, got {quoted(self.delegate)}")
        if self.delegate == "coreml" and self.coreml.pixel_buffer:
            raise ConfigError("pixel_buffer: expected a tensor for executorch, which has no images; export without it")
        inside = self.coreml if self.delegate == "coreml" else self.coreai
        if self.mixed_precision == CHECKPOINT:
            object.__setattr__(self, "mixed_precision", inside.mixed_precision)
        parse(self.mixed_precision)

    @property
    def program(self) -> CoreMLOptions | CoreAIOptions:
        """The choices for the programs inside."""
        options = self.coreml if self.delegate == "coreml" else self.coreai
        return replace(options, mixed_precision=self.mixed_precision)

    @property
    def precision(self) -> str:
        """Precision of the programs inside."""
        return self.program.precision

    @property
    def compression_name(self) -> str:
        """How the programs inside store weights."""
        return self.program.compression_name

    @property
    def calibrated(self) -> bool:
        """Whether the lowering needs recorded inputs."""
        return self.program.calibrated

    def settings(self) -> Mapping[str, str]:
        """Return the choices that an app must know, for the manifest."""
        return {"delegate": self.delegate, **self.program.settings()}
