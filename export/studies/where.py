"""Says where in a network a failed gate has its reason, for the runtimes that show the values inside a program."""

from __future__ import annotations

from pathlib import Path

from export.coreai.sums import Sums
from export.parity.report import ParityReport
from export.studies import onnx_faults
from export.studies.coreai_faults import inside_with
from export.studies.departures import Inside, StageDepartures, explain_failure
from mobile_diffusion.checkpoint import AnyModel
from mobile_diffusion.progress import Progress, silent

INSIDE: dict[str, Inside] = {"onnx": onnx_faults.inside, "coreai": inside_with(Sums.FLOAT32)}
"""Runtime -> what looks inside its programs."""


def where(path: Path, parity: ParityReport, model: AnyModel, progress: Progress = silent) -> dict[str, StageDepartures]:
    """Runtime -> the modules of its first stage that failed, for every runtime of INSIDE with a failed gate.

    Raises `CheckpointError` if the bundle was not made from `model`, `ExportError` if a program cannot be run.
    """
    failed = {each.measurement.runtime for each in parity.failures}
    found = {}
    for runtime, inside in INSIDE.items():
        if runtime in failed:
            progress(f"{runtime}: looking for the module that departs", 0.0)
            found[runtime] = explain_failure(path, parity, runtime, model, inside)
    return found
