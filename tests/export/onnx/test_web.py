"""The models in ONNX Runtime for browsers, where its package has been fetched; else the operators that they use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.onnx.web import WebRunner, why_not
from export.runners.torch import TorchRunner
from export.signatures import STAGES, Signature
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError
from tests.export.comparing import assert_close

OPERATORS = {
    *("Add", "Cast", "Clip", "Concat", "Conv", "Div", "Erf", "Gather", "Gemm", "InstanceNormalization"),
    *(
        "LayerNormalization",
        "MatMul",
        "Mul",
        "Relu",
        "Reshape",
        "Resize",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Split",
        "Sub",
    ),
    *("Transpose", "Unsqueeze"),
}
"""All of ONNX's own set, which ONNX Runtime's full packages for Android and for browsers have."""


@pytest.mark.parametrize("stage", STAGES)
def test_only_operators_of_onnx_itself_are_used(stage: str, onnx_folder: Path) -> None:
    nodes = onnx.load(onnx_folder / f"{stage}.onnx").graph.node
    assert {node.domain for node in nodes} <= {""}
    assert {node.op_type for node in nodes} <= OPERATORS


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_web_assembly_computes_what_pytorch_does(
    onnx_folder: Path,
    tiny_stages: Mapping[str, ExportStage],
    torch_runner: TorchRunner,
    make_inputs: Callable[..., dict[str, np.ndarray]],
    tmp_path: Path,
) -> None:
    models = {stage: onnx_folder / f"{stage}.onnx" for stage in STAGES}
    signatures = {name: Signature(stage.inputs, stage.outputs) for name, stage in tiny_stages.items()}
    runner = WebRunner(models, signatures, tmp_path)
    for stage in STAGES:
        arrays = make_inputs(stage)
        assert_close(torch_runner.run(stage, **arrays), runner.run(stage, **arrays), 90.0)
    runner.close()


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_a_file_that_is_no_model_is_refused(tiny_stages: Mapping[str, ExportStage], tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    stage = tiny_stages["decode_image"]
    signature = Signature(stage.inputs, stage.outputs)
    runner = WebRunner({stage.name: tmp_path / "bad.onnx"}, {stage.name: signature}, tmp_path)
    with pytest.raises(ExportError, match="bad.onnx: expected onnxruntime-web to run it"):
        runner.run(stage.name, latents=np.zeros(stage.inputs[0].shape, np.float32))
