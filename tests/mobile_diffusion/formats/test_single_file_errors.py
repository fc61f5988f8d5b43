"""Single files that are damaged, of another family or not whole: one line that says so."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mobile_diffusion.errors import MobileDiffusionError
from tests.mobile_diffusion.formats.compvis_files import (
    State,
    Written,
    read,
    rewritten,
    write,
)


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write(tmp_path_factory.mktemp("sd1"))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["conditioner.embedders.0.transformer.text_model.x"], "without U-Net .*, autoencoder"),
        (["model.diffusion_model.label_emb.0.0.weight"], "without autoencoder .*, text encoder"),
        (["model.diffusion_model.x", "edm_vpred.sigma_max"], "CosXL"),
        (["clip_l", "clip_g"], "textual inversion"),
        (["model.diffusion_model.joint_blocks.0.x"], "Stable Diffusion 3"),
        (["double_blocks.0.img_attn.qkv.weight"], "Flux"),
        (["control_model.input_blocks.0.0.weight"], "ControlNet"),
        (["lora_unet_down_blocks_0.lora_down.weight"], "LoRA.*--lora"),
        (["unet.down_blocks.0.attentions.0.proj_in.lora_A.weight"], "LoRA"),
        (["down_blocks.0.resnets.0.conv1.weight"], "one part of a diffusers folder; give the folder"),
        (["decoder.mid.block_1.conv1.weight"], "an autoencoder alone"),
        (["input_blocks.0.0.weight"], "a U-Net alone"),
        (["model.diffusion_model.input_blocks.0.0.weight"], "without autoencoder .*, text encoder"),
        (["first_stage_model.decoder.conv_in.weight"], "without U-Net .*, text encoder"),
        (["emb_params"], "textual inversion"),
        (["x"], "without U-Net .*, autoencoder .*, text encoder"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, names: list[str], message: str) -> None:
    file = tmp_path / "other.safetensors"
    save_file({name: torch.zeros(2) for name in names}, file)
    refused(file, message)


def refused(file: Path, message: str) -> None:
    """Opening it raises one line that matches."""
    with pytest.raises(MobileDiffusionError, match=message) as caught:
        read(file)
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)


CONV_IN = "model.diffusion_model.input_blocks.0.0.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({CONV_IN: torch.zeros(32, 7, 3, 3)}, "an upscaler"),
        ({CONV_IN: torch.zeros(32, 6, 3, 3)}, "4 .the latents'. or 9 .an inpainting network's. or 8"),
        ({CONV_IN: torch.zeros(32, 5, 3, 3)}, "a depth model"),
        ({CONV_IN: torch.zeros(32, 4, 3, 3, dtype=torch.int32)}, "expected floats"),
        ({CONV_IN: torch.zeros(32, 4, 1, 1)}, "expected shape"),
        ({CONV_IN: torch.zeros(32)}, "of 2 dimensions or more"),
        ({CONV_IN: None}, "input_blocks.0.0.weight"),
        ({"model.diffusion_model.what.weight": torch.zeros(1)}, "'model.diffusion_model.what.weight'.*expected none"),
        ({"first_stage_model.encoder.mid.attn_1.q.weight": None}, "is missing"),
        ({"first_stage_model.encoder.down.0.attn.0.q.weight": torch.zeros(1)}, "expected none of that name"),
        (
            {"cond_stage_model.model.ln_final.weight": torch.zeros(64)},
            "one text encoder, got cond_stage_model.tr",
        ),
        ({"model.diffusion_model.output_blocks.0.0.in_layers.2.weight": None}, "is missing"),
        ({"model.diffusion_model.output_blocks.0.0.out_layers.3.weight": None}, "up"),
        ({"betas": torch.linspace(1e-4, 2e-2, 1000)}, "betas"),
        (
            {"model.diffusion_model.input_blocks.1.1.transformer_blocks.1.norm1.weight": torch.zeros(32)},
            "blocks.1.norm1.bias' is missing",
        ),
    ],
)
def test_wrong_tensors_are_named(tmp_path: Path, sd1: Written, change: dict[str, Any], message: str) -> None:
    def apply(state: State) -> State:
        return {name: tensor for name, tensor in (state | change).items() if tensor is not None}

    refused(rewritten(tmp_path, sd1, apply), message)


def test_damaged_files_give_one_line(tmp_path: Path, sd1: Written) -> None:
    content = sd1.file.read_bytes()
    for name, damaged in {"half": content[: len(content) // 2], "empty": b"", "text": b"not a file at all"}.items():
        file = tmp_path / f"{name}.safetensors"
        file.write_bytes(damaged)
        refused(file, "expected a whole safetensors file")
    refused(tmp_path / "absent.safetensors", "got nothing there")
    pickle = tmp_path / "model.ckpt"
    pickle.write_bytes(content)
    refused(pickle, "pickle")


def test_nothing_is_logged(sd1: Written, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        read(sd1.file)
    assert not caplog.records
