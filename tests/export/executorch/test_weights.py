"""Weights that are written from the model's own memory: same results, and no copy on the way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.executorch.lower import convert, lower
from export.executorch.weights import TensorData
from export.runners.executorch import ExecuTorchRunner
from export.signatures import TensorSpec
from export.stages import ExportStage, build_stage
from tests.export.comparing import arrays_of
from tests.tiny_models import SD1, RandomModel

WIDTH = 256


@pytest.fixture(scope="module")
def probe() -> ExportStage:
    """A convolution and a linear layer, large against all else."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        module = nn.Sequential(nn.Conv2d(8, WIDTH, 3), nn.Flatten(2), nn.Linear(4, WIDTH), nn.Linear(WIDTH, WIDTH))
    spec = TensorSpec("latents", "float32", (1, 8, 4, 4))
    return ExportStage("probe", Named(module).eval(), (spec,), (TensorSpec("image", "float32", (1, WIDTH, WIDTH)),))


class Named(nn.Module):
    """Takes its input by name."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner.requires_grad_(False)

    def forward(self, latents: Tensor) -> Tensor:
        return self.inner(latents)


@pytest.mark.parametrize("stage", ["encode_text", pytest.param("denoise", marks=pytest.mark.full), "decode_image"])
def test_the_results_are_those_of_upstreams_own_weights(stage: str, tmp_path: Path) -> None:
    built = build_stage(RandomModel(SD1), stage)
    for name in ("ours", "upstreams"):
        (tmp_path / name).mkdir()
        lower(built, tmp_path / name)
    with (tmp_path / "upstreams" / f"{stage}.pte").open("wb") as file:
        convert(built).write_to_file(file)
    arrays = arrays_of(built)
    ours, theirs = (
        ExecuTorchRunner.load(tmp_path / name, {stage: f"{stage}.pte"}, threads=1).run(stage, **arrays)
        for name in ("ours", "upstreams")
    )
    assert all(np.array_equal(ours[name], theirs[name]) for name in theirs)
    sizes = [(tmp_path / name / f"{stage}.pte").stat().st_size for name in ("ours", "upstreams")]
    assert sizes[0] <= sizes[1]


def test_no_weight_is_copied_to_be_kept(probe: ExportStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Upstream deep-copies the program for the backend, and every parameter with it."""
    copied: list[int] = []
    upstream = nn.Parameter.__deepcopy__
    monkeypatch.setattr(
        nn.Parameter, "__deepcopy__", lambda self, memo: copied.append(self.numel()) or upstream(self, memo)
    )
    lower(probe, tmp_path)
    assert not copied
    convert(probe)
    assert max(copied) == WIDTH * WIDTH, "nothing is proved where upstream copies nothing"


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shape", [(5, 3, 2, 2), (1, 1, 1, 1), (7, 4), (6,)])
def test_a_segment_is_the_tensor_in_its_layout(shape: tuple[int, ...], channels_last: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tensor = torch.randn(shape)
    data, ordered = TensorData(tensor, channels_last), tensor
    if channels_last and tensor.ndim == 4:
        ordered = tensor.permute(0, 2, 3, 1)
    expected = np.ascontiguousarray(ordered.numpy()).tobytes()
    with (tmp_path / "segment").open("wb") as file:
        data.write_to_file(file)
    assert (tmp_path / "segment").read_bytes() == data.to_bytes() == expected
    assert len(data) == len(expected)
    assert [data.prefix(size) for size in (1, 8, 32)] == [expected[:size] for size in (1, 8, 32)]
