"""Quantized stages in ExecuTorch's runtime: against PyTorch, and against torch's own rounding of the same graph."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from export.executorch.lower import lower
from export.executorch.options import XnnpackOptions
from export.executorch.quantize import PROGRAMS
from export.job.calibration import Samples, collect
from export.parity.trajectories import Case
from export.runners.executorch import ExecuTorchRunner
from export.runners.torch import TorchRunner
from export.signatures import TensorSpec
from export.stages import ExportStage
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import ExportError
from tests.export.comparing import outputs_of, signal_to_noise

Arrays = dict[str, np.ndarray]

CASES = [
    ("int8", "denoise", 25.0, 20.0, 0.45),
    ("int8", "encode_text", 18.0, 18.0, 0.3),
    ("int8", "decode_image", 30.0, 25.0, 0.6),
    ("int8-dynamic", "encode_text", 18.0, 18.0, 0.3),
    ("int8-dynamic", "decode_image", 35.0, 25.0, 0.6),
    ("int4-dynamic", "decode_image", 20.0, 20.0, 0.6),
]
"""Precision, stage, least dB against float32 and against torch's rounding, most of the float32 file's size: what stays
in float is more of a tiny model than of a real one."""
PARAMETERS = [
    pytest.param(*case, id=f"{case[0]}-{case[1]}", marks=[pytest.mark.full] if case[1] == "denoise" else [])
    for case in CASES
]
"""The U-Net takes minutes; the other two stages have every kind of layer that is quantized."""


@pytest.fixture(scope="module")
def samples(tiny_model: Model, torch_runner: TorchRunner) -> Samples:
    """Of two prompts."""
    cases = (Case("a tree", 1), Case("a grinning cat", 2))
    return collect(torch_runner, tiny_model.tokenizer, DrawSettings.of(tiny_model.config), cases)


@pytest.mark.parametrize(("precision", "name", "limit", "torchs", "size"), PARAMETERS)
def test_a_quantized_stage_is_close_to_pytorch_and_small(
    precision: str,
    name: str,
    limit: float,
    torchs: float,
    size: float,
    tiny_stages: Mapping[str, ExportStage],
    samples: Samples,
    make_inputs: Callable[..., Arrays],
    executorch_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    stage = dataclasses.replace(tiny_stages[name], samples=samples[name])
    made = PROGRAMS[precision](stage)
    monkeypatch.setitem(PROGRAMS, precision, lambda stage: made)  # which is not made twice
    path = lower(stage, tmp_path, XnnpackOptions(precision))
    arrays = make_inputs(name, step=3) if name == "denoise" else make_inputs(name)
    got = ExecuTorchRunner.load(tmp_path, {name: path}, threads=1).run(name, **arrays)
    output = stage.outputs[0].name
    assert signal_to_noise(outputs_of(stage, arrays)[output], got[output]) > limit
    fake = dataclasses.replace(stage, module=made.program.module())
    assert signal_to_noise(outputs_of(fake, arrays)[output], got[output]) > torchs
    assert (tmp_path / path).stat().st_size < size * (executorch_folder / path).stat().st_size
    notes = json.loads((tmp_path / f"{name}.json").read_text())
    assert notes["delegation"]["delegates"] == (2 if name == "encode_text" else 1)
    assert set(notes["delegation"]["undelegated"]) <= ALLOWED_OUTSIDE
    check_notes(notes["quantization"], precision)


ALLOWED_OUTSIDE = {
    "index_select.out",
    "embedding.out",
    "select_copy.int_out",
    "unsqueeze_copy.out",
    "_to_dim_order_copy.out",
}
"""Look-ups and casts of what they take and give."""


def check_notes(notes: dict[str, Any], precision: str) -> None:
    ways = {entry["range"] for entry in notes["layers"].values()}
    bits = {entry["bits"] for entry in notes["layers"].values()}
    assert ways <= ({"static", "dynamic"} if precision == "int8" else {"dynamic"})
    assert bits <= ({4, 8} if precision == "int4-dynamic" else {8})
    assert precision != "int4-dynamic" or bits == {4, 8}
    assert not any("norm" in name for name in notes["layers"])
    assert all(notes["float"].values()) and not notes["float"].keys() & notes["layers"].keys()
    assert precision != "int8" or all(entry["static_db"] > 0 for entry in notes["layers"].values())


class Activated(nn.Module):
    """A linear layer and its activation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.linear(x))


def linear_stage(samples: tuple[Mapping[str, torch.Tensor], ...], width: int = 32) -> ExportStage:
    torch.manual_seed(0)
    spec = TensorSpec("x", "float32", (1, 4, width))
    module = Activated(width).eval().requires_grad_(False)
    return ExportStage("forward", module, (spec,), (TensorSpec("y", "float32", spec.shape),), samples)


def drawn(count: int, width: int = 32) -> tuple[dict[str, torch.Tensor], ...]:
    generator = torch.Generator().manual_seed(1)
    return tuple({"x": torch.randn(1, 4, width, generator=generator)} for _ in range(count))


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ((), "at least 2 recorded inputs to calibrate on, got 0"),
        (drawn(1), "at least 2 recorded inputs to calibrate on, got 1"),
        (drawn(1) * 5, "different inputs to calibrate on, got 5 equal ones"),
        (tuple({"x": torch.full((1, 4, 32), value)} for value in (0.0, 1e-30)), "got 1e-30 everywhere at linear"),
        ((*drawn(3), {"x": torch.full((1, 4, 32), torch.nan)}), "finite inputs to calibrate on, got NaN"),
        ((*drawn(3), {"x": torch.full((1, 4, 32), torch.inf)}), "finite inputs to calibrate on, got NaN or infinity"),
    ],
    ids=["none", "one", "equal", "constant", "NaN", "infinity"],
)
def test_calibration_that_will_not_do_is_refused(samples: tuple[Mapping[str, torch.Tensor], ...], message: str) -> None:
    with pytest.raises(ExportError, match=message) as error:
        PROGRAMS["int8"](linear_stage(samples))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("precision", PROGRAMS)
def test_a_stage_without_a_layer_to_quantize_is_refused_by_name(precision: str) -> None:
    with pytest.raises(ExportError, match=r"can be quantized, got none: linear has 8 channels in and 8 out"):
        PROGRAMS[precision](linear_stage(drawn(3, 8), 8))


def test_activations_that_become_infinite_are_refused() -> None:
    stage = linear_stage(drawn(3))
    with torch.no_grad():
        stage.module.get_submodule("linear").weight.fill_(3e38)  # type: ignore[operator]
    with pytest.raises(ExportError, match="expected finite activations, got NaN or infinity"):
        PROGRAMS["int8"](stage)
