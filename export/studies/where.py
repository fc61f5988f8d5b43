"""Says where in a network a failed gate has its reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from export.bundle.bundle import open_bundle
from export.bundle.manifest_parts import RuntimeEntry
from export.coreai.sums import Sums
from export.executorch.options import XnnpackOptions
from export.mixed.names import SETTING
from export.parity.report import ParityReport
from export.stages import build_stage
from export.studies import coreai_faults, coreml_inside, onnx_faults, xnnpack_inside
from export.studies.departures import Inside, StageDepartures, check_source, compare, first_failure, stage_arrays
from export.studies.reproduction import Reproduction, reproduce
from export.studies.xnnpack_inside import WrongConstant, wrong_constant
from mobile_diffusion.checkpoint import AnyModel
from mobile_diffusion.progress import Progress, silent


@dataclass(frozen=True)
class Place:
    """Where the first stage of a runtime that failed leaves PyTorch."""

    found: StageDepartures | WrongConstant
    reproduction: Reproduction | None = None
    """One wrong number of the layer, if it is one that can be written down."""

    def __str__(self) -> str:
        return str(self.found)


def xnnpack_options(entry: RuntimeEntry) -> XnnpackOptions:
    """The options with which the programs of a runtime were lowered."""
    return XnnpackOptions(entry.precision, setting(entry, SETTING, "none"))


INSIDE: dict[str, Callable[[RuntimeEntry], Inside]] = {
    "onnx": lambda entry: onnx_faults.inside,
    "coreml": lambda entry: coreml_inside.inside_for(setting(entry, "compute_units")),
    "coreai": lambda entry: coreai_faults.inside_with(Sums.FLOAT32),
    "xnnpack": lambda entry: xnnpack_inside.inside_with(xnnpack_options(entry)),
}
"""Runtime -> what looks inside its programs, by what the manifest says of them."""


def where(path: Path, parity: ParityReport, model: AnyModel, progress: Progress = silent) -> dict[str, Place]:
    """Runtime -> the place in its first stage that failed, for every runtime of INSIDE with a failed gate.

    A program of XNNPACK that is calibrated is left out: what it was calibrated with is not in the bundle.
    Raises `CheckpointError` if the bundle was not made from `model`, `ExportError` if a program cannot be run.
    """
    bundle = open_bundle(path, verify=False)
    check_source(bundle, model)
    failed = {each.measurement.runtime for each in parity.failures}
    found: dict[str, Place] = {}
    for entry in bundle.manifest.runtimes:
        calibrated = entry.name == "xnnpack" and xnnpack_options(entry).calibrated
        if entry.name in failed and entry.name in INSIDE and not calibrated:
            progress(f"{entry.name}: looking for the module that departs", 0.0)
            found[entry.name] = _place(path, parity, entry, model)
    return found


def _place(path: Path, parity: ParityReport, entry: RuntimeEntry, model: AnyModel) -> Place:
    failure = first_failure(path, parity, entry.name)
    stage = build_stage(model, failure.stage)
    if entry.name == "xnnpack":
        wrong = wrong_constant(stage, failure.file, xnnpack_options(entry))
        if wrong is not None:
            return Place(wrong)
    arrays = stage_arrays(model, failure.stage, failure.drawn, failure.step)
    stored, single = INSIDE[entry.name](entry)(stage, failure.file, arrays)
    found = compare(stage, arrays, stored, single, failure.bound_db)
    name = None if found.first is None else found.first.module
    return Place(found, None if name is None else reproduce(stage, arrays, name, stored[name]))


def setting(entry: RuntimeEntry, name: str, default: str = "") -> str:
    """The value of a runtime's setting, or the default."""
    return next((each.value for each in entry.settings if each.name == name), default)
