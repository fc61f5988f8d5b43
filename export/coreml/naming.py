"""What a tensor of a stage is called inside its Core ML package.

Core ML refuses a function whose output has the name of an input, and `denoise` takes latents and returns
latents (and memory, where its solver has one).  So there, and only there, the output is called `latents_out`.
Each package says so itself: its metadata maps every output to the stage's name, which is how runners and apps find it.
"""

from __future__ import annotations

import json
from typing import Any

from export.coreml import OUTPUTS_KEY
from export.signatures import TensorSpec
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError

SUFFIX = "_out"


def package_name(stage: ExportStage, output: TensorSpec) -> str:
    """Name of one of the stage's outputs in its package: its own, or `<name>_out` where an input has that name."""
    name = output.name
    return name + SUFFIX if name in {spec.name for spec in stage.inputs} else name


def outputs_metadata(stage: ExportStage) -> dict[str, str]:
    """The metadata entry that `stage_outputs` reads back."""
    names = {package_name(stage, output): output.name for output in stage.outputs}
    return {OUTPUTS_KEY: json.dumps(names)}


def stage_outputs(spec: Any) -> dict[str, str]:
    """Of a package's specification: output name of the package to output name of the stage."""
    names = {output.name: output.name for output in spec.description.output}
    text = spec.description.metadata.userDefined.get(OUTPUTS_KEY, "{}")
    try:
        renamed = json.loads(text)
    except ValueError:
        renamed = None
    if not isinstance(renamed, dict):
        raise ExportError(f"{OUTPUTS_KEY}: expected a JSON object of names, got {text[:60]!r}")
    return names | {package: str(renamed[package]) for package in names if package in renamed}
