"""layers.json: what hooks see is what PyTorch computes, and float16 does to a layer what casting to it does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch

from export.evidence.page import check_layers
from export.job.layers import Layer, _in_half, _watch, read_layers
from export.job.run import Exported
from export.signatures import STAGES
from export.verify import read_trajectories
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.decibels import snr_db
from mobile_diffusion.errors import BundleError


class Chain(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(4, 4)
        self.second = torch.nn.Linear(4, 2)
        self.second_again = self.second

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second_again(self.second.weight.sum() + self.second(self.first(x)).repeat(1, 2) * 1000)


def test_largest_numbers_and_weights_of_every_layer() -> None:
    torch.manual_seed(0)
    chain, x = Chain(), torch.randn(3, 4)
    found = {layer.module: layer for layer in _watch("denoise", chain, [{"x": x.numpy()}, {"x": 2 * x.numpy()}], 1)}
    assert list(found) == ["first", "second"]  # a module with two names has the first
    assert (found["first"].weights, found["second"].weights, found["first"].kind) == (20, 10, "Linear")
    with torch.no_grad():
        inside = chain.first(2 * x)
        last = chain.second.weight.sum() + chain.second(inside).repeat(1, 2) * 1000
        want = max(each.abs().max().item() for each in (last, chain.second(last), inside))
    assert found["second"].largest == pytest.approx(want, rel=0.01)
    assert not chain.first._forward_hooks


def test_float16_alone_is_what_casting_gives() -> None:
    torch.manual_seed(1)
    layer, x = torch.nn.Linear(64, 64), torch.randn(8, 64)
    with torch.no_grad():
        wanted = layer(x)
        cast = torch.nn.functional.linear(x.half().double(), layer.weight.half().double(), layer.bias.half().double())
        ratio = _in_half(layer, (x,), {}, wanted)
    assert ratio == pytest.approx(snr_db(wanted.numpy(), cast.half().numpy()), abs=0.3)
    assert layer.weight.dtype == torch.float32


def test_beyond_float16_is_seen() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(300.0)
    (found,) = _watch("denoise", torch.nn.Sequential(layer), [{"input": torch.full((1, 1), 300.0).numpy()}], 1)
    assert found.largest == 90000.0
    assert found.half_db is not None and found.half_db < 0


def test_every_stage_of_an_export_has_its_layers(exported: Mapping[str, Exported]) -> None:
    layers = read_layers(exported["android"].bundle.path)
    assert [layer.stage for layer in layers.layers] == sorted(
        (layer.stage for layer in layers.layers), key=STAGES.index
    )
    assert {layer.stage for layer in layers.layers} == set(STAGES)
    assert layers == read_layers(exported["ios"].bundle.path)


@pytest.mark.parametrize(("field", "value"), [("largest", 123.0), ("half_db", 20.0), ("weights", 1), ("module", "x")])
def test_the_checkpoint_shows_a_changed_layer(
    exported: Mapping[str, Exported],
    tiny_checkpoint: Path,
    copy_of,
    field: str,
    value: object,  # type: ignore[no-untyped-def]
) -> None:
    path = copy_of("ios")
    trajectories = read_trajectories(exported["ios"].bundle)
    bundle = type(exported["ios"].bundle)(path, exported["ios"].bundle.manifest)
    source = open_checkpoint(tiny_checkpoint)
    assert check_layers(bundle, source, trajectories, 1) == []
    values = json.loads((path / "layers.json").read_text())
    values["layers"][3][field] = value
    (path / "layers.json").write_text(json.dumps(values))
    (found,) = check_layers(bundle, source, trajectories, 1)
    assert found.place == "layers.json: layers[3]"


@pytest.mark.parametrize("content", ["", "[]", '{"layers": 3}', '{"schema_version": 1, "case": "", "layers": [1]}'])
def test_a_file_that_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "layers.json").write_text(content)
    with pytest.raises(BundleError, match="layers.json: expected the layers of a model"):
        read_layers(tmp_path)


def test_fields() -> None:
    assert Layer("denoise", "a", "Linear", 1, None, None).half_db is None
