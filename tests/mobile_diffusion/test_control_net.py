"""ControlNets against diffusers' own pipelines, on random weights of which none is zero."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.checkpoints.against_diffusers import Asked, compare, our_drawing
from benchmarks.checkpoints.random_weights import write_checkpoint, write_control
from mobile_diffusion.checkpoint import open_checkpoint, open_source, save_checkpoint
from mobile_diffusion.drawing import Hint, Start, draw
from mobile_diffusion.errors import CheckpointError, ConfigError, PromptError
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.pipeline import Pipeline
from tests.attentive import mask, picture

NAME, NARROW = "sd15", 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(NAME, tmp_path_factory.mktemp("steered") / "folder", narrow=NARROW)


@pytest.fixture(scope="module")
def controls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    parent = tmp_path_factory.mktemp("controls")
    return write_control(NAME, parent / "edges", NARROW, 1), write_control(NAME, parent / "depths", NARROW, 2)


def hints(*scales: float) -> tuple[Hint, ...]:
    """A different picture per ControlNet."""
    return tuple(Hint(np.roll(picture(), 11 * number, axis=-1), scale) for number, scale in enumerate(scales))


def assert_same(folder: Path, start: Start | None = None, name: str = NAME, **asked: Any) -> None:
    """Latents within 1e-4 of the largest of their step, pixels within half a level, to which ours are rounded."""
    found = compare(folder, name, start, steps=3, **{"solver": "ddim", **asked})
    assert found.contrast > 2.5
    assert found.worst_latents < 1e-4
    assert found.worst_level <= 0.5 + 1e-2


@pytest.mark.parametrize("scale", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("guidance", [1.0, 7.5])
def test_one_control_net(guidance: float, scale: float, folder: Path, controls: tuple[Path, ...]) -> None:
    assert_same(folder, controls=controls[:1], hints=hints(scale), guidance=guidance, negative="blurred")


def test_several_control_nets_are_added_up(folder: Path, controls: tuple[Path, ...]) -> None:
    assert_same(folder, controls=controls, hints=hints(0.7, 1.2), guidance=7.5, negative="blurred")


@pytest.mark.parametrize("start", [Start(picture(), 0.75), Start(picture(), 1.0, mask())], ids=["image", "mask"])
def test_with_a_picture_to_start_from(start: Start, folder: Path, controls: tuple[Path, ...]) -> None:
    assert_same(folder, start, controls=controls[:1], hints=hints(0.8), guidance=7.5, negative="blurred")


def test_guidance_in_a_part_of_the_steps(folder: Path, controls: tuple[Path, ...]) -> None:
    asked = {"shares": (1.0, 0.0, 0.5), "guidance": 7.5, "negative": "blurred"}
    assert_same(folder, controls=controls[:1], hints=hints(0.8), **asked)


@pytest.mark.full
@pytest.mark.parametrize("name", ["sdxl", "sd21-v", "lcm-dreamshaper", "bk-sdm-base"])
def test_relatives(name: str, tmp_path: Path) -> None:
    folder = write_checkpoint(name, tmp_path / "folder", narrow=16 if name == "sdxl" else NARROW)
    control = write_control(name, tmp_path / "control", 16 if name == "sdxl" else NARROW)
    lcm = name == "lcm-dreamshaper"
    asked = {"guidance": 8.5 if lcm else 7.5, "negative": "" if lcm else "blurred", "solver": "lcm" if lcm else "ddim"}
    assert_same(folder, name=name, controls=(control,), hints=hints(0.8), **asked)


def test_the_hint_matters(folder: Path, controls: tuple[Path, ...]) -> None:
    drawn = [
        our_drawing(folder, NAME, None, 2, Asked(7.5, "", "ddim", controls=controls[:1], hints=(hint,)))[1]
        for hint in (hints(1.0)[0], hints(0.5)[0], Hint(1 - picture()))
    ]
    assert all(np.abs(drawn[0].astype(int) - other).max() > 10 for other in drawn[1:])


def test_a_file_with_its_configuration_beside_it(controls: tuple[Path, ...], folder: Path) -> None:
    edges = controls[0]
    file = edges / "diffusion_pytorch_model.safetensors"
    of_folder, of_file = (open_source(folder, OpenOptions(controlnets=(each,))) for each in (edges, file))
    assert of_folder.config == of_file.config and len(of_file.config.controls) == 1
    ours, theirs = (each.load_part("controls").state_dict() for each in (of_folder, of_file))
    assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())
    assert of_folder.changes == ("ControlNet edges",)
    assert of_folder.source_hash != open_source(folder).source_hash


def rewritten(control: Path, folder: Path, **changes: Any) -> Path:
    """A copy of a ControlNet with other options."""
    folder.mkdir()
    (folder / "diffusion_pytorch_model.safetensors").symlink_to(control / "diffusion_pytorch_model.safetensors")
    values = json.loads((control / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **changes}))
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"_class_name": "UNet2DConditionModel"},
            "expected a ControlNetModel or a T2IAdapter, got 'UNet2DConditionModel'",
        ),
        ({"_class_name": "FluxControlNetModel"}, "expected a ControlNetModel or a T2IAdapter"),
        ({"global_pool_conditions": True}, "option 'global_pool_conditions': expected False"),
        ({"controlnet_conditioning_channel_order": "bgr"}, "channel_order': expected 'rgb', got 'bgr'"),
        ({"conditioning_embedding_out_channels": [0, 4]}, "hint_channels"),
        ({"mid_block_type": None}, "expected a middle"),
        ({"controls_what": 1}, "option 'controls_what': expected no such option"),
        ({"cross_attention_dim": 80}, "tensor .*expected shape"),
    ],
)
def test_a_configuration_that_is_not_supported(
    changes: dict[str, Any], message: str, tmp_path: Path, folder: Path, controls: tuple[Path, ...]
) -> None:
    wrong = rewritten(controls[0], tmp_path / "wrong", **changes)
    with pytest.raises(CheckpointError, match=message) as error:
        open_source(folder, OpenOptions(controlnets=(wrong,)))
    assert len(str(error.value).splitlines()) == 1 and str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("sd21-base", {}, "expected a cross-attention width of 76, as the U-Net, got 102"),
        ("sd15", {"in_channels": 9}, "expected latent channels: 4, as the U-Net, got 9"),
        ("bk-sdm-base", {}, "channels and ResNet blocks per level: "),
        ("sd15", {"conditioning_embedding_out_channels": [4, 8, 16]}, "expected pixels per latent: 8, as the U-Net"),
    ],
)
def test_a_control_net_of_another_model(
    name: str, changes: dict[str, Any], message: str, tmp_path: Path, folder: Path
) -> None:
    other = write_control(name, tmp_path / "other", NARROW, **changes)
    with pytest.raises(CheckpointError, match=message):
        open_source(folder, OpenOptions(controlnets=(other,)))


def test_missing_files(tmp_path: Path, folder: Path, controls: tuple[Path, ...]) -> None:
    (tmp_path / "empty").mkdir()
    bare = tmp_path / "bare" / "a.safetensors"
    bare.parent.mkdir()
    bare.write_bytes(b"")
    (tmp_path / "model.pth").write_bytes(b"")
    wrong = {
        tmp_path / "nowhere": "expected a ControlNet, a folder or a .safetensors file, got nothing there",
        tmp_path / "empty": "expected the ControlNet's configuration",
        bare: "expected the ControlNet's configuration",
        tmp_path / "model.pth": "pickle",
    }
    for path, message in wrong.items():
        with pytest.raises(CheckpointError, match=message):
            open_source(folder, OpenOptions(controlnets=(path,)))


def test_a_network_that_reads_a_picture_takes_none(tmp_path: Path, controls: tuple[Path, ...]) -> None:
    inpainting = write_checkpoint("sd15-inpainting", tmp_path / "folder", narrow=NARROW)
    with pytest.raises(ConfigError, match="ControlNet: expected a U-Net that reads text alone, got one that inpaints"):
        open_source(inpainting, OpenOptions(controlnets=controls[:1]))


def test_hints_that_cannot_be_used(folder: Path, controls: tuple[Path, ...]) -> None:
    plain, steered = (
        Pipeline(open_checkpoint(folder, OpenOptions(controlnets=each))).settings for each in ((), controls)
    )
    small = Hint(np.zeros((1, 3, 32, 32), np.float32))
    wrong = [
        (plain, hints(1.0), "hint: expected none, as this model has no ControlNets, got 1"),
        (steered, (), "hint: expected 2, as this model has 2 ControlNets, got none; give one per ControlNet"),
        (steered, hints(1.0), "hint: expected 2, as this model has 2 ControlNets, got 1"),
        (steered, (small, small), "hint: expected shape"),
        (steered, hints(1.0, float("nan")), "hint scale: expected a number from 0 to 2, got nan"),
        (steered, hints(-0.1, 1.0), "hint scale: expected a number from 0 to 2"),
        (steered, hints(2.1, 1.0), "hint scale: expected a number from 0 to 2"),
    ]
    for settings, given, message in wrong:
        with pytest.raises(PromptError, match=message):
            draw(None, None, settings, "a", hints=given)  # type: ignore[arg-type]


def test_our_own_format_has_no_control_nets(tmp_path: Path, folder: Path, controls: tuple[Path, ...]) -> None:
    with pytest.raises(CheckpointError, match="expected a model without ControlNets"):
        save_checkpoint(open_source(folder, OpenOptions(controlnets=controls)), tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
