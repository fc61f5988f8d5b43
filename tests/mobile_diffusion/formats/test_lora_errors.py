"""LoRA files that are damaged, of another kind or for another model: one line that says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mobile_diffusion.checkpoint import open_source
from mobile_diffusion.errors import CheckpointError, MobileDiffusionError
from mobile_diffusion.formats.checkpoint_files import CheckpointFiles
from mobile_diffusion.formats.lora import lora_adapter
from tests.mobile_diffusion.formats.conftest import Publish
from tests.mobile_diffusion.formats.lora_files import (
    Networks,
    State,
    kohya_state,
    networks,
    text_lora,
    unet_lora,
)


@pytest.fixture(scope="module")
def sd15(published: Publish) -> Networks:
    return networks(published, "sd15")


def refused(path: Path, source: CheckpointFiles, message: str, scale: float = 1.0) -> str:
    """Merging raises one line that matches."""
    with pytest.raises(MobileDiffusionError, match=message) as caught:
        lora_adapter(path, scale, source)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


DOWN = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_down.weight"
PAIR = {DOWN: torch.ones(2, 20), DOWN.replace("down.weight", "up.weight"): torch.ones(20, 2)}
ALPHA = DOWN.replace("lora_down.weight", "alpha")


def named(prefix: str) -> State:
    return {f"{prefix}.lora_down.weight": torch.ones(2, 20), f"{prefix}.lora_up.weight": torch.ones(20, 2)}


def loha(outputs: int, inputs: int, rank: int = 2) -> State:
    """A LoHa; its second half has the rank 2."""
    shapes = {"w1_a": (outputs, rank), "w1_b": (2, inputs), "w2_a": (outputs, 2), "w2_b": (2, inputs)}
    return {DOWN.replace("lora_down.weight", f"hada_{role}"): torch.ones(shape) for role, shape in shapes.items()}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (PAIR | {DOWN.replace("lora_down.weight", "oft_blocks"): torch.ones(2, 5, 5)}, "got OFT, which is not"),
        (PAIR | {DOWN.replace("lora_down.weight", "oft_blocks"): torch.ones(2, 2, 5, 5)}, "got OFT"),
        ({"unet.conv_in.oft_R.default.weight": torch.ones(1)}, "got OFT"),
        ({DOWN.replace("lora_down.weight", "on_input"): torch.ones(1)}, "got IA3"),
        ({DOWN.replace("lora_down", "a1"): torch.ones(1)}, "got GLoRA"),
        ({DOWN.replace("lora_down.weight", "lambda_layer"): torch.ones(1)}, "got T-LoRA"),
        ({"unet.conv_in.vera_lambda_b": torch.ones(1)}, "got VeRA"),
        ({"mid_block.attn1.processor.to_k_custom_diffusion.weight": torch.ones(1)}, "got Custom Diffusion"),
        ({"unet:0:up": torch.ones(1)}, "got LoRA of cloneofsimo's trainer of 2022"),
        (PAIR | {"bundle_emb.word.string_to_param.*": torch.ones(1)}, "got LoRA with a bundled textual inversion"),
        (PAIR | {"lora_unet_conv_in.set_weight": torch.ones(1)}, "got LoRA that replaces or resizes weights"),
        ({"lora_unet_conv_in.diff": torch.ones(1)}, r"expected a product of \[20, 4, 3, 3\], got \[1\]"),
        (PAIR | {DOWN.replace("lora_down.weight", "dora_scale"): torch.ones(3)}, "a DoRA of 20 lengths, got 3"),
        (PAIR | {DOWN.replace("lora_down.weight", "diff"): torch.ones(20, 20)}, "expected the tensors of a LoRA, LoHa"),
        ({DOWN.replace("lora_down.weight", "hada_w1_a"): torch.ones(1)}, "expected the tensors of a LoRA, LoHa"),
        ({DOWN.replace("lora_down.weight", "lokr_w1"): torch.ones(4, 4)}, "expected the tensors of a LoRA, LoHa"),
        (loha(20, 21), r"expected a product of \[20, 20\]"),
        (loha(20, 20, rank=3), r"expected a product of \[20, 20\]"),
        ({**loha(20, 20), ALPHA: torch.tensor(float("inf"))}, "alpha.*expected a finite number"),
        (PAIR | {DOWN.replace("down.weight", "up.bias"): torch.ones(20)}, "expected zeros, because this layer"),
        (PAIR | {DOWN.replace("lora_down.weight", "diff_b"): torch.ones(20)}, "expected zeros, because this layer"),
        ({"lora_unet_conv_in.diff_b": torch.ones(19)}, r"expected a bias of \[20\], got \[19\]"),
        ({"lora_unet_down_blocks_0_resnets_0_norm1.w_norm": torch.ones(19)}, r"expected a product of \[20\]"),
        ({ALPHA: torch.tensor(1.0)}, "expected the tensors of a LoRA, LoHa"),
        (PAIR | named("lora_te2_text_model_encoder_layers_0_mlp_fc1"), "one for SDXL"),
        (named("lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q"), "one for SDXL"),
        (named("unet.down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_q"), "one for SDXL"),
        (named("transformer.single_transformer_blocks.1.attn.to_q"), "one for Flux"),
        (named("lora_unet_double_blocks_0_img_attn_qkv"), "one for Flux"),
        (
            PAIR | {"model.diffusion_model.input_blocks.0.0.weight": torch.ones(1)},
            "expected only tensors of a LoRA, got 'model",
        ),
        (named("lora_unet_nowhere"), "1 modules that it lacks, such as 'lora_unet_nowhere.lora_down.weight'"),
        (named("lora_te_down_blocks_0_attentions_0_proj_in"), "1 modules that it lacks"),
        (PAIR | named("lora_unet_nowhere"), r"1 of 2 modules are not in this model \(nowhere\)"),
        ({DOWN: torch.ones(2, 20)}, "expected the tensors of a LoRA, LoHa or LoKr for module"),
        (PAIR | {DOWN: torch.ones(3, 20)}, "expected a product of"),
        (PAIR | {DOWN: torch.ones(2, 21)}, "expected a product of"),
        (PAIR | {DOWN: torch.ones(2)}, "expected a product of"),
        (PAIR | {DOWN: torch.ones(2, 20, 3, 3)}, "expected a product of"),
        (PAIR | {DOWN: torch.ones(0, 20), DOWN.replace("down.weight", "up.weight"): torch.ones(20, 0)}, "a product of"),
        (PAIR | {DOWN: torch.ones(2, 20, dtype=torch.int32)}, "expected floats"),
        (PAIR | {ALPHA: torch.tensor(float("nan"))}, "alpha.*expected a finite number"),
        (PAIR | {ALPHA: torch.ones(3)}, "alpha.*expected a finite number"),
        (PAIR | named("unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"), "expected each module once"),
        ({}, "without tensors"),
    ],
)
def test_wrong_files_are_named(sd15: Networks, tmp_path: Path, state: State, message: str) -> None:
    file = tmp_path / "wrong.safetensors"
    save_file(state, file)
    refused(file, sd15.source, message)


def test_a_lora_of_another_width_is_named(sd15: Networks, published: Publish, tmp_path: Path) -> None:
    source = open_source(published("sd21-base")).source
    unet_lora(sd15, target_modules=["to_k"]).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="attn2.to_k': expected a product of .* the LoRA is for another model"):
        lora_adapter(tmp_path, 1.0, source)


@pytest.mark.parametrize("name", ["bk-sdm-base", "bk-sdm-small", "bk-sdm-tiny"])
def test_modules_that_a_slim_model_lacks_are_named(
    sd15: Networks, published: Publish, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "full.safetensors"
    save_file(kohya_state(unet_lora(sd15), text_lora(sd15)), file)
    source = open_source(published(name)).source
    message = refused(file, source, r"\d+ of \d+ modules are not in this model .*trained for this model")
    assert "attentions_1" in message


def test_biases_of_zeros_for_layers_without_a_bias_are_left_out(sd15: Networks, tmp_path: Path) -> None:
    """diffusers' `lora_bias` gives every layer one, also the queries, which have none in this model."""
    file = tmp_path / "zeros.safetensors"
    save_file(PAIR | {DOWN.replace("down.weight", "up.bias"): torch.zeros(20)}, file)
    ours = sd15.merged(lora_adapter(file, 1.0, sd15.source), "unet")
    save_file(PAIR, file)
    plain = sd15.merged(lora_adapter(file, 1.0, sd15.source), "unet")
    assert ours.keys() == plain.keys() and all(torch.equal(ours[name], plain[name]) for name in plain)


def test_nan_weights_are_named_when_they_are_read(sd15: Networks, tmp_path: Path) -> None:
    file = tmp_path / "nan.safetensors"
    save_file(PAIR | {DOWN: torch.full((2, 20), float("nan"))}, file)
    with pytest.raises(CheckpointError, match="expected finite weights, got NaN or inf"):
        sd15.merged(lora_adapter(file, 1.0, sd15.source), "unet")


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_scales_must_be_finite(sd15: Networks, tmp_path: Path, scale: float) -> None:
    refused(tmp_path / "any", sd15.source, "expected a finite scale", scale)


def test_files_that_cannot_be_read(sd15: Networks, tmp_path: Path) -> None:
    refused(tmp_path / "absent.safetensors", sd15.source, "got nothing there")
    refused(tmp_path, sd15.source, "name the LoRA's file")
    for name, message in (("lora.bin", "pickle"), ("lora.safetensors", "whole safetensors file")):
        file = tmp_path / name
        file.write_bytes(b"\x80\x04nonsense")
        refused(file, sd15.source, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init_lora_weights": "pissa_niter_4"}, "option init_lora_weights: expected True, got 'pissa_niter_4'"),
        ({"init_lora_weights": "olora"}, "option init_lora_weights"),
        ({"target_parameters": ["x"]}, "option target_parameters"),
        ({"modules_to_save": ["conv_out"]}, "option modules_to_save"),
        ({"bias": "all"}, "option bias"),
        ({"peft_type": "OFT"}, "option peft_type: expected 'LORA', got 'OFT'"),
        ({"peft_type": "LOHA", "alpha": "x"}, "option alpha: expected a number, got 'x'"),
        ({"r": 0}, "option r: expected a number above 0, got 0"),
        ({"rank_pattern": {"to_q": None}}, "option rank_pattern"),
        ({"lora_alpha": None}, "option lora_alpha"),
        ({"lora_alpha": True}, "option lora_alpha"),
        ({"alpha_pattern": {"(": 1}}, "option alpha_pattern"),
        ({"alpha_pattern": {"to_q": "x"}}, "option alpha_pattern"),
    ],
)
def test_options_of_peft_that_are_not_supported(
    sd15: Networks, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    unet_lora(sd15, target_modules=["to_q"]).save_pretrained(tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    refused(tmp_path, sd15.source, message)
    file.unlink()
    refused(tmp_path, sd15.source, "expected the alpha of the LoRA in it")


def test_metadata_that_is_no_json(sd15: Networks, tmp_path: Path) -> None:
    file = tmp_path / "noted.safetensors"
    save_file(PAIR, file, metadata={"lora_adapter_metadata": "{"})
    refused(file, sd15.source, "lora_adapter_metadata: expected JSON")


def test_every_file_is_checked_before_a_weight_is_read(sd15: Networks, tmp_path: Path) -> None:
    file = tmp_path / "whole.safetensors"
    save_file(PAIR, file)
    adapter = lora_adapter(file, 1.0, sd15.source)
    state = load_file(file)
    save_file({DOWN: state[DOWN]}, file)
    with pytest.raises(CheckpointError, match="whole safetensors file"):
        sd15.merged(adapter, "unet")
