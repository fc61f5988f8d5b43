"""Every call of coremltools on a Mac, in one place, and the description of the Mac.

UNVERIFIED on Linux: the tests check the calls against coremltools' signatures, not against Core ML's answers.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.coreml.options import COMPUTE_UNITS
from export.coreml.toolchain import import_coremltools
from export.studies.mac.record import System
from mobile_diffusion.errors import ExportError


@dataclass(frozen=True)
class CoreML:
    """coremltools' native functions, under its own names."""

    compile_model: Callable[..., str]
    """`coremltools.models.utils.compile_model`: a package to `.mlmodelc`."""
    CompiledMLModel: Callable[..., Any]
    """`coremltools.models.CompiledMLModel`, which has `predict`."""
    MLComputePlan: Any
    """`coremltools.models.compute_plan.MLComputePlan`."""
    units: Mapping[str, Any]
    """Compute units by name."""

    def compile(self, package: Path, compiled: Path) -> None:
        """Compile a package."""
        self.compile_model(str(package), destination_path=str(compiled))

    def load(self, compiled: Path, units: str) -> Any:
        """A compiled program, ready for `predict`."""
        return self.CompiledMLModel(str(compiled), compute_units=self.units[units])

    def plan(self, compiled: Path, units: str) -> Any:
        """Core ML's plan for a compiled program."""
        return self.MLComputePlan.load_from_path(str(compiled), compute_units=self.units[units])


def require_mac() -> None:
    """Raise `ExportError` unless Core ML is here."""
    if sys.platform != "darwin":
        raise ExportError(
            f"expected macOS, which has Core ML, got {sys.platform}; measure on a Mac, or compare here with "
            "`mobile-diffusion verify`"
        )


def open_core_ml() -> CoreML:
    """The installed coremltools; raises `ExportError` on systems other than macOS."""
    require_mac()
    return real_core_ml()


def real_core_ml() -> CoreML:
    """coremltools' functions; only macOS can call them."""
    ct = import_coremltools()
    from coremltools.models.compute_plan import MLComputePlan

    units = {name: getattr(ct.ComputeUnit, name) for name in COMPUTE_UNITS}
    return CoreML(ct.models.utils.compile_model, ct.models.CompiledMLModel, MLComputePlan, units)


def read_system() -> System:
    """This Mac."""
    return System(
        sysctl("machdep.cpu.brand_string"),
        sysctl("hw.model"),
        int(sysctl("hw.memsize")),
        platform.mac_ver()[0],
        str(import_coremltools().__version__),
        platform.python_version(),
    )


def sysctl(name: str) -> str:
    """One of macOS's system variables."""
    return subprocess.run(["sysctl", "-n", name], check=True, capture_output=True, text=True).stdout.strip()
