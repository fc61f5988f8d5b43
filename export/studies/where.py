"""Says where in a network a failed gate has its reason, for the runtimes that show the values inside a program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from export.bundle.bundle import open_bundle
from export.bundle.manifest_parts import RuntimeEntry
from export.coreai.sums import Sums
from export.parity.report import ParityReport
from export.studies import coreml_inside, onnx_faults
from export.studies.coreai_faults import inside_with
from export.studies.departures import Inside, StageDepartures, explain_failure
from mobile_diffusion.checkpoint import AnyModel
from mobile_diffusion.progress import Progress, silent

INSIDE: dict[str, Callable[[RuntimeEntry], Inside]] = {
    "onnx": lambda entry: onnx_faults.inside,
    "coreml": lambda entry: coreml_inside.inside_for(setting(entry, "compute_units")),
    "coreai": lambda entry: inside_with(Sums.FLOAT32),
}
"""Runtime -> what looks inside its programs, by what the manifest says of them."""


def where(path: Path, parity: ParityReport, model: AnyModel, progress: Progress = silent) -> dict[str, StageDepartures]:
    """Runtime -> the modules of its first stage that failed, for every runtime of INSIDE with a failed gate.

    Raises `CheckpointError` if the bundle was not made from `model`, `ExportError` if a program cannot be run.
    """
    failed = {each.measurement.runtime for each in parity.failures}
    found = {}
    for entry in open_bundle(path, verify=False).manifest.runtimes:
        runtime, inside = entry.name, INSIDE.get(entry.name)
        if inside is not None and runtime in failed:
            progress(f"{runtime}: looking for the module that departs", 0.0)
            found[runtime] = explain_failure(path, parity, runtime, model, inside(entry))
    return found


def setting(entry: RuntimeEntry, name: str) -> str:
    """The value of a runtime's setting."""
    return next(each.value for each in entry.settings if each.name == name)
