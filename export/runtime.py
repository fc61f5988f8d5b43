"""What describes one way to run a model on a phone: its modules, folder, precision and the user's choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol

from export.mixed.names import NONE
from export.signatures import Signature, program_outputs
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted


class RuntimeOptions(Protocol):
    """What a user chooses for one runtime.  The lowering takes it as its third argument."""

    @property
    def precision(self) -> str:
        """Precision of the program's arithmetic, such as "fp32"."""

    @property
    def compression_name(self) -> str:
        """How weights are stored, as the manifest names it; "none" if they are not compressed."""

    @property
    def calibrated(self) -> bool:
        """Whether the lowering needs `ExportStage.samples`."""

    def settings(self) -> Mapping[str, str]:
        """The choices that an app must know, by name."""


@dataclass(frozen=True)
class Runtime:
    """One way to run a model on a phone and, where a runner exists, on this machine."""

    name: str
    title: str
    """Name shown in tables and pictures."""
    lowering: str
    """Module with `lower(stage, folder)` or `lower(stage, folder, options)`, which returns the program's path."""
    runner: str
    """`module:class` of the runner that loads the programs on this machine; "" if there is none."""
    folder: str
    """Folder of the programs inside the bundle; "" for its root."""
    precision: str
    """Precision of the program's arithmetic, such as "fp32"."""
    named_methods: bool
    """True if the function in a program has the stage's name; otherwise its name is "main"."""
    renames_outputs: bool
    """True if no output may have the name of an input."""
    tools: tuple[str, ...]
    """Packages whose versions are recorded in the manifest."""
    extra: str
    """The extra of pyproject.toml that installs these packages."""
    unverified: str
    """What was run on this machine and what was not, in words."""
    options: RuntimeOptions | None = None
    """Choices for one export; None if the runtime has none."""
    compression: str = "none"
    """How the programs store weights."""
    requirement: str = ""
    """Module with `check()`, which raises if something is missing that no extra installs; "" for none."""
    half: str = ""
    """Module with `half_program(stage, options)`: what float16 touches in a program; "" if nothing is ever float16."""
    whole: str = "--runtime xnnpack"
    """What to give for float32 everywhere, where modules cannot be named."""
    half_weights: bool = False
    """Whether precision fp16 means weights in float16, and arithmetic in float32."""

    @property
    def grade(self) -> str:
        """Precision and compression: the key of the parity limits."""
        return graded(self.precision, self.compression)

    def chosen(self, options: RuntimeOptions) -> Runtime:
        """Return this runtime with a user's choices."""
        return replace(self, options=options, precision=options.precision, compression=options.compression_name)

    def at(self, precision: str) -> Runtime:
        """Return this runtime at another precision; raises `ConfigError` with the choices if it does not offer it."""
        options: Any = self.options
        if precision == self.precision:
            return self
        if options is None or "precision" not in {field.name for field in fields(options)}:
            raise ConfigError(f"precision: expected {self.precision} for {self.name}, got {quoted(precision)}")
        return self.chosen(replace(options, precision=precision))

    def mixed(self, choice: str) -> Runtime:
        """Return this runtime, which `takes_names`, with another choice of modules that stay in float32."""
        options: Any = self.options
        return self.chosen(replace(options, mixed_precision=choice))

    def has(self, precision: str) -> bool:
        """Return whether the runtime offers this precision."""
        try:
            self.at(precision)
        except ConfigError:
            return False
        return True

    @property
    def has_half(self) -> bool:
        """Whether something of its programs is float16."""
        return self.precision == "fp16" and self.half != ""

    @property
    def takes_names(self) -> bool:
        """Whether modules of its programs can stay in float32 while the rest is float16."""
        return self.has_half and hasattr(self.options, "mixed_precision")

    @property
    def mixed_precision(self) -> str:
        """The user's choice of modules that stay in float32 (export/mixed/names.py); "none" for a runtime without."""
        return str(getattr(self.options, "mixed_precision", NONE)) if self.has_half else NONE

    @property
    def runs_here(self) -> bool:
        """Whether this machine can run the programs.  If not, they are lowered but not compared with the reference."""
        return bool(self.runner)

    def method(self, stage: str) -> str:
        """Return the name of the function to call in the stage's program."""
        return stage if self.named_methods else "main"

    def outputs(self, signature: Signature) -> tuple[str, ...]:
        """Return the names that a program gives to the outputs of its stage."""
        return program_outputs(signature) if self.renames_outputs else tuple(spec.name for spec in signature.outputs)


def graded(precision: str, compression: str) -> str:
    """Return the key of a precision and a compression in the limits of `export/parity/gates.py`."""
    return precision if compression == "none" else f"{precision} {compression}"
