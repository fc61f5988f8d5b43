"""Looks inside an ONNX model: which torch module each value came from, and what the values are when it runs.

The exporter notes the modules that every operation came from.  Our files leave the notes out, and keep the names of the
values; the same stage, converted again, has both.
"""

from __future__ import annotations

import ast
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx

from export.onnx.lower import convert
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError

SCOPES = "pkg.torch.onnx.name_scopes"
"""Key of the exporter's note: the modules around an operation, outermost first, and the operation."""


def modules_of(stage: ExportStage) -> dict[str, str]:
    """Name of every value of a stage's model -> path of the innermost torch module that computes it; "" is the stage's.

    Raises `ExportError` if the stage cannot be converted.
    """
    found: dict[str, str] = {}
    for node in convert(stage).graph:
        scopes = ast.literal_eval(node.metadata_props.get(SCOPES, "['', '']"))
        found |= {str(value.name): str(scopes[-2]) for value in node.outputs if len(scopes) > 1}
    return found


def values_inside(path: Path, arrays: Mapping[str, np.ndarray], wanted: Iterable[str]) -> dict[str, np.ndarray]:
    """Run a model once on named inputs; returns the float32 values that are `wanted`, in the order of its operations.

    Raises `ExportError` if the model cannot be read or run.
    """
    import onnxruntime

    wanted = set(wanted)
    with tempfile.TemporaryDirectory(prefix="mobile-diffusion-") as work:
        try:
            model = onnx.load(path, load_external_data=False)
            names = [name for node in model.graph.node for name in node.output if name in wanted]
            known = {value.name for value in model.graph.output}
            model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in known)
            for place in sorted(
                {
                    entry.value
                    for each in model.graph.initializer
                    for entry in each.external_data
                    if entry.key == "location"
                }
            ):
                shutil.copy(path.parent / place, Path(work) / place)
            onnx.save_model(model, Path(work) / path.name)
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3  # it warns of outputs without a shape
            session = onnxruntime.InferenceSession(Path(work) / path.name, options, providers=["CPUExecutionProvider"])
            results = session.run(names, dict(arrays))
        except Exception as error:  # onnxruntime's exceptions have no common base but this
            reason = str(error).splitlines()[0]
            raise ExportError(f"{path}: expected an ONNX model that runs: {reason}; export it again") from error
    return {name: value for name, value in zip(names, results, strict=True) if value.dtype == np.float32}
