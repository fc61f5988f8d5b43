"""Names of a stage's tensors inside its Core ML package.

Core ML rejects a function whose output has the name of an input.  `denoise` takes and returns `latents` (and `memory`,
if its solver has one), so its output is called `latents_out`.  The package's metadata maps each output name to the
stage's name; runners and apps read it.
"""

from __future__ import annotations

import json
from typing import Any

from export.coreml import OUTPUTS_KEY
from export.signatures import TensorSpec
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.strict_json import parse_json

SUFFIX = "_out"


def package_name(stage: ExportStage, output: TensorSpec) -> str:
    """Return the name of an output in the package: the stage's name, or `<name>_out` if an input has that name."""
    name = output.name
    return name + SUFFIX if name in {spec.name for spec in stage.inputs} else name


def outputs_metadata(stage: ExportStage) -> dict[str, str]:
    """Return the metadata entry that `stage_outputs` reads."""
    names = {package_name(stage, output): output.name for output in stage.outputs}
    return {OUTPUTS_KEY: json.dumps(names)}


def stage_outputs(spec: Any) -> dict[str, str]:
    """Return the map from a package's output names to the stage's output names.

    Raises `ExportError` if the metadata entry is damaged.
    """
    names = {output.name: output.name for output in spec.description.output}
    text = spec.description.metadata.userDefined.get(OUTPUTS_KEY, "{}")
    try:
        renamed = parse_json(text)
    except ValueError:
        renamed = None
    if not isinstance(renamed, dict):
        raise ExportError(f"{OUTPUTS_KEY}: expected a JSON object of names, got {quoted(text[:60])}")
    return names | {package: str(renamed[package]) for package in names if package in renamed}
