"""Runs the ONNX models with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from export.onnx import OUTPUTS_KEY
from export.runners.runner import check_stage, check_threads
from export.signatures import TensorSpec, check_arrays
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.strict_json import parse_json
from mobile_diffusion.waiting import may_spin

DTYPES = {"tensor(float)": "float32", "tensor(int32)": "int32"}


@dataclass(frozen=True)
class Session:
    """A loaded model of one stage."""

    inference: Any
    """onnxruntime.InferenceSession."""
    inputs: tuple[TensorSpec, ...]
    outputs: Mapping[str, str]
    """Output name of the model to output name of the stage."""


@dataclass(frozen=True)
class OnnxRuntimeRunner:
    """ONNX Runtime's kernels on the processor."""

    sessions: Mapping[str, Session]
    threads: int
    name: ClassVar[str] = "onnx"

    @classmethod
    def load(cls, folder: Path, artifacts: Mapping[str, str], threads: int = 2) -> OnnxRuntimeRunner:
        """Open the model of every stage (stage -> path relative to `folder`).

        Raises `ExportError` if one cannot be read, `ConfigError` for an impossible number of threads.
        """
        check_threads(threads)
        return cls({stage: _open(folder / path, threads) for stage, path in artifacts.items()}, threads)

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of one stage by name."""
        check_stage(stage, self.sessions)
        session = self.sessions[stage]
        inputs = check_arrays(stage, session.inputs, arrays)
        feed = {spec.name: array for spec, array in zip(session.inputs, inputs, strict=True)}
        results = session.inference.run(list(session.outputs), feed)
        return dict(zip(session.outputs.values(), results, strict=True))


def _open(path: Path, threads: int) -> Session:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if may_spin() else "0")
    options.enable_mem_pattern = False  # costs 1.6 GB more for Stable Diffusion's U-Net and is no faster
    try:
        inference = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base but this
        reason = str(error).splitlines()[0]
        raise ExportError(f"{path}: expected an ONNX model: {reason}; export it again") from error
    specs = tuple(_spec(path, argument) for argument in inference.get_inputs())
    return Session(inference, specs, _outputs(path, inference))


def _spec(path: Path, argument: Any) -> TensorSpec:
    if argument.type not in DTYPES:
        raise ExportError(f"{path}: expected {argument.name} as one of {', '.join(DTYPES)}, got {argument.type}")
    return TensorSpec(argument.name, DTYPES[argument.type], tuple(argument.shape))


def _outputs(path: Path, inference: Any) -> dict[str, str]:
    """Output name of the model -> output name of the stage."""
    names = {argument.name: argument.name for argument in inference.get_outputs()}
    text = inference.get_modelmeta().custom_metadata_map.get(OUTPUTS_KEY, "{}")
    try:
        return names | {name: str(value) for name, value in parse_json(text).items() if name in names}
    except (ValueError, AttributeError) as error:
        raise ExportError(
            f"{path}: expected metadata {OUTPUTS_KEY} as a JSON object, got {quoted(text[:60])}"
        ) from error
