"""T2I-Adapters against diffusers' own pipelines, on random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.checkpoints.against_diffusers import Asked, compare, our_drawing
from benchmarks.checkpoints.random_weights import write_checkpoint, write_control, write_t2i_adapter
from mobile_diffusion.checkpoint import open_source
from mobile_diffusion.drawing import Hint
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.inspection.stage_cost import stage_costs
from tests.attentive import picture

NAME, NARROW = "sd15", 10
KINDS: dict[str, dict[str, Any]] = {
    "full": {},
    "grey": {"in_channels": 1},
    "light": {"adapter_type": "light_adapter", "num_res_blocks": 4},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(NAME, tmp_path_factory.mktemp("steered") / "folder", narrow=NARROW)


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    parent = tmp_path_factory.mktemp("adapters")
    return {kind: write_t2i_adapter(NAME, parent / kind, NARROW, **settings) for kind, settings in KINDS.items()}


def hint(scale: float = 1.0, grey: bool = False) -> Hint:
    return Hint(np.repeat(picture()[:, :1], 3, axis=1) if grey else picture(), scale)


def assert_same(folder: Path, controls: tuple[Path, ...], hints: tuple[Hint, ...], name: str = NAME) -> None:
    """As for ControlNets."""
    asked = {"solver": "ddim", "guidance": 7.5, "negative": "blurred"}
    found = compare(folder, name, steps=3, controls=controls, hints=hints, **asked)
    assert found.contrast > 2.5
    assert found.worst_latents < 1e-4
    assert found.worst_level <= 0.5 + 1e-2


@pytest.mark.parametrize("scale", [0.0, 0.7])
@pytest.mark.parametrize("kind", KINDS)
def test_one_adapter(kind: str, scale: float, folder: Path, adapters: dict[str, Path]) -> None:
    assert_same(folder, (adapters[kind],), (hint(scale, kind == "grey"),))


def test_several_are_added_up(folder: Path, adapters: dict[str, Path]) -> None:
    assert_same(folder, (adapters["full"], adapters["grey"]), (hint(0.7), hint(1.2, grey=True)))


@pytest.mark.full
def test_sdxl(tmp_path: Path) -> None:
    """Its first level has no transformers, and its fourth map steers the middle."""
    folder = write_checkpoint("sdxl", tmp_path / "folder", narrow=16)
    assert_same(folder, (write_t2i_adapter("sdxl", tmp_path / "adapter", 16),), (hint(0.8),), "sdxl")


def test_the_hint_matters(folder: Path, adapters: dict[str, Path]) -> None:
    drawn = [
        our_drawing(folder, NAME, None, 2, Asked(7.5, "", "ddim", controls=(adapters["full"],), hints=(each,)))[1]
        for each in (hint(1.0), hint(0.3), Hint(1 - picture()))
    ]
    assert all(np.abs(drawn[0].astype(int) - other).max() > 10 for other in drawn[1:])


def test_all_of_it_runs_once(folder: Path, adapters: dict[str, Path]) -> None:
    config, plain = (open_source(folder, OpenOptions(controlnets=each)).config for each in ((adapters["full"],), ()))
    found, own = ({each.name: each for each in stage_costs(one)} for one in (config, plain))
    assert found["encode_hint"].runs == 1 and found["encode_hint"].parameters > 0
    assert found["denoise"].parameters == own["denoise"].parameters


def test_a_file_with_its_configuration_beside_it(folder: Path, adapters: dict[str, Path]) -> None:
    file = adapters["light"] / "diffusion_pytorch_model.safetensors"
    of_folder, of_file = (open_source(folder, OpenOptions(controlnets=(each,))) for each in (adapters["light"], file))
    ours, theirs = (each.load_part("controls").state_dict() for each in (of_folder, of_file))
    assert ours and all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())
    assert of_folder.changes == ("T2I-Adapter light",)


def changed(adapter: Path, out: Path, **changes: Any) -> Path:
    shutil.copytree(adapter, out)
    values = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**values, **changes}))
    return out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"adapter_type": "huge_adapter"}, r"kind is 'huge_adapter'; expected one of"),
        ({"in_channels": 4}, "in_channels is 4; expected 1 or 3"),
        ({"channels": [32, 64]}, "expected "),
        ({"num_res_blocks": 10**6}, "resnets is 1000000; expected up to 64 blocks"),
        ({"downscale_factor": 16}, r"conv_in.weight': expected shape \[32, 768, 3, 3\]"),
        ({"strength": 2}, "expected options of a T2IAdapter, got 'strength'"),
    ],
)
def test_configurations_that_are_refused(
    changes: dict[str, Any], words: str, folder: Path, adapters: dict[str, Path], tmp_path: Path
) -> None:
    adapter = changed(adapters["full"], tmp_path / "changed", **changes)
    with pytest.raises(CheckpointError, match=words) as error:
        open_source(folder, OpenOptions(controlnets=(adapter,)))
    assert "\n" not in str(error.value)


def test_of_another_model_and_beside_a_control_net(folder: Path, adapters: dict[str, Path], tmp_path: Path) -> None:
    wide = write_t2i_adapter(NAME, tmp_path / "wide", 5)
    with pytest.raises(CheckpointError, match="as the U-Net, got .*; use a T2I-Adapter that was made for this model"):
        open_source(folder, OpenOptions(controlnets=(wide,)))
    control = write_control(NAME, tmp_path / "control", NARROW)
    with pytest.raises(ConfigError, match="ControlNets or T2I-Adapters, not both"):
        open_source(folder, OpenOptions(controlnets=(control, adapters["full"])))
