"""LoRA files in the names of every trainer, merged as peft and diffusers merge them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils.state_dict_utils import convert_state_dict_to_kohya
from peft import PeftModel
from safetensors.torch import save_file

from mobile_diffusion.formats.compvis_names import unet_names
from mobile_diffusion.formats.lora import lora_adapter
from tests.mobile_diffusion.formats.conftest import Publish
from tests.mobile_diffusion.formats.lora_files import (
    Networks,
    State,
    change,
    diffusers_file,
    kohya_state,
    largest_error,
    lora_state,
    networks,
    text_lora,
    unet_lora,
)

SCALE = 0.7
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def sd15(published: Publish) -> Networks:
    return networks(published, "sd15")


PATTERNS = {
    "rank_pattern": {"to_q": 2, "conv1": 8},
    "alpha_pattern": {"to_k": 3, r"down_blocks.*conv1": 1},
}


@pytest.mark.parametrize(
    ("name", "options"),
    [("sd15", {}), ("sd15", {"use_rslora": True}), ("sd21-base", PATTERNS)],
    ids=["plain", "rslora", "patterns-sd21"],
)
def test_peft_folders_merge_as_peft_merges(
    published: Publish, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    opened = networks(published, name)
    unet, text = unet_lora(opened, **options), text_lora(opened)
    for model, part, prefix in ((unet, "unet", ""), (text, "text_encoder", "text_model.")):
        model.save_pretrained(tmp_path / part)
        adapter = lora_adapter(tmp_path / part, 1.0, opened.source)
        before, after = opened.merged(None, part), opened.merged(adapter, part)
        assert change(before, after) > 0.01
        assert largest_error(after, model.merge_and_unload(), prefix) < TOLERANCE
        assert adapter.files[1].name == "adapter_config.json"


def test_diffusers_files_merge_as_peft_merges(sd15: Networks, tmp_path: Path) -> None:
    unet, text = unet_lora(sd15, **PATTERNS), text_lora(sd15)
    diffusers_file(tmp_path, unet, text, metadata=True)
    adapter = lora_adapter(tmp_path, 1.0, sd15.source)
    assert largest_error(sd15.merged(adapter, "unet"), unet.merge_and_unload()) < TOLERANCE
    assert largest_error(sd15.merged(adapter, "text_encoder"), text.merge_and_unload(), "text_model.") < TOLERANCE
    assert sd15.merged(adapter, "autoencoder").keys() == sd15.merged(None, "autoencoder").keys()


@pytest.mark.parametrize("prefix", ["lora_te_", "lora_te1_"])
def test_kohya_files_merge_as_peft_merges(sd15: Networks, tmp_path: Path, prefix: str) -> None:
    unet, text = unet_lora(sd15, **PATTERNS), text_lora(sd15)
    file = tmp_path / "kohya.safetensors"
    save_file(kohya_state(unet, text, prefix), file)
    adapter = lora_adapter(file, 1.0, sd15.source)
    assert largest_error(sd15.merged(adapter, "unet"), unet.merge_and_unload()) < TOLERANCE
    assert largest_error(sd15.merged(adapter, "text_encoder"), text.merge_and_unload(), "text_model.") < TOLERANCE


def test_names_are_those_that_diffusers_gives_kohya(sd15: Networks, tmp_path: Path) -> None:
    unet, text = unet_lora(sd15), text_lora(sd15)
    state = {f"unet.{name}": tensor for name, tensor in lora_state(unet).items()}
    state |= {f"text_encoder.text_model.{name}": tensor for name, tensor in lora_state(text).items()}
    theirs = convert_state_dict_to_kohya(state)
    ours = kohya_state(unet, text, "lora_te1_")
    assert {name.replace("lora_te1.", "lora_te1_").replace("lora_unet.", "lora_unet_") for name in theirs} == set(ours)
    file = tmp_path / "kohya.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in theirs.items()}, file)
    assert len(lora_adapter(file, 1.0, sd15.source).updates["unet"]) == len(lora_state(unet)) // 2


def older_state(unet: PeftModel, text: PeftModel) -> State:
    """Diffusers' names before it used peft."""
    state: State = {}
    for prefix, model in (("unet.", unet), ("text_encoder.text_model.", text)):
        for name, tensor in lora_state(model).items():
            name = re.sub(r"\.(attn[12])\.(to_[qkv]|to_out)(\.0)?\.lora_", r".\1.processor.\2_lora.", name)
            name = re.sub(r"\.(\w+_proj)\.lora_", r".\1.lora_linear_layer.", name)
            state[prefix + name.replace("lora.A", "lora.down").replace("lora.B", "lora.up")] = tensor
    return {n.replace("layer.A", "layer.down").replace("layer.B", "layer.up"): t for n, t in state.items()}


def default_state(unet: PeftModel, text: PeftModel) -> State:
    """Peft's names with that of the adapter in them."""
    state = {f"unet.{name}": tensor for name, tensor in lora_state(unet).items()}
    state |= {f"text_encoder.{name}": tensor for name, tensor in lora_state(text).items()}
    return {name.replace(".weight", ".default.weight"): tensor for name, tensor in state.items()}


@pytest.mark.parametrize("spell", [older_state, default_state])
def test_other_spellings_of_diffusers(sd15: Networks, tmp_path: Path, spell: Callable[..., State]) -> None:
    targets = {"target_modules": r".*\.(to_q|to_k|to_v|to_out\.0)", "lora_alpha": 4}
    unet = unet_lora(sd15, **targets)
    text = text_lora(sd15, target_modules=["q_proj", "v_proj", "out_proj"], lora_alpha=3)
    file = tmp_path / "older.safetensors"
    save_file(spell(unet, text), file)
    adapter = lora_adapter(file, 1.0, sd15.source)
    assert largest_error(sd15.merged(adapter, "unet"), unet.merge_and_unload()) < TOLERANCE
    assert largest_error(sd15.merged(adapter, "text_encoder"), text.merge_and_unload(), "text_model.") < TOLERANCE


def test_latent_diffusions_names(sd15: Networks, tmp_path: Path) -> None:
    unet = unet_lora(sd15)
    table = unet_names(sd15.source.config.unet)
    state = {}
    for name, tensor in lora_state(unet).items():
        module, half = re.fullmatch(r"(.+)\.lora_([AB])\.weight", name).groups()  # type: ignore[union-attr]
        theirs = (table.theirs(module) or "").replace(".", "_")
        state[f"lora_unet_{theirs}.lora_{'down' if half == 'A' else 'up'}.weight"] = tensor
        state[f"lora_unet_{theirs}.alpha"] = torch.tensor(6.0)
    assert "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_q.lora_up.weight" in state
    assert "lora_unet_output_blocks_11_0_in_layers_2.lora_up.weight" in state
    file = tmp_path / "ldm.safetensors"
    save_file(state, file)
    adapter = lora_adapter(file, 1.0, sd15.source)
    assert largest_error(sd15.merged(adapter, "unet"), unet.merge_and_unload()) < TOLERANCE


@pytest.mark.parametrize("layout", ["kohya", "diffusers", "metadata"])
def test_files_merge_as_diffusers_fuses_them(sd15: Networks, tmp_path: Path, layout: str) -> None:
    targets = {"target_modules": r".*\.(to_q|to_k|to_v|to_out\.0|ff\.net\.0\.proj|proj_in)"}
    unet, text = unet_lora(sd15, **targets), text_lora(sd15)
    file = diffusers_file(tmp_path, unet, text, layout == "metadata")
    if layout == "kohya":
        save_file(kohya_state(unet, text), file)
    pipeline = StableDiffusionPipeline.from_pretrained(sd15.folder, safety_checker=None)
    pipeline.load_lora_weights(file)
    pipeline.fuse_lora(lora_scale=SCALE)
    pipeline.unload_lora_weights()
    adapter = lora_adapter(file, SCALE, sd15.source)
    assert largest_error(sd15.merged(adapter, "unet"), pipeline.unet) < TOLERANCE
    assert largest_error(sd15.merged(adapter, "text_encoder"), pipeline.text_encoder, "text_model.") < TOLERANCE


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_files_merge_in_float32(sd15: Networks, tmp_path: Path, dtype: torch.dtype) -> None:
    unet = unet_lora(sd15)
    file = tmp_path / "half.safetensors"
    save_file({f"unet.{name}": tensor.to(dtype) for name, tensor in lora_state(unet).items()}, file)
    state = sd15.merged(lora_adapter(file, 2.0, sd15.source), "unet")
    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
    halves = [lora_state(unet)[f"{name}.lora_{half}.weight"].to(dtype).float() for half in "BA"]
    expected = sd15.merged(None, "unet")[f"{name}.weight"] + 2.0 * halves[0] @ halves[1]
    assert state[f"{name}.weight"].dtype == torch.float32
    torch.testing.assert_close(state[f"{name}.weight"], expected)


def test_scales_add_up(sd15: Networks, tmp_path: Path) -> None:
    unet_lora(sd15).save_pretrained(tmp_path)
    weight = "up_blocks.1.resnets.0.conv1.weight"
    before = sd15.merged(None, "unet")[weight]
    moves = {}
    for scale in (0.0, 0.5, 1.0, -1.0):
        moves[scale] = sd15.merged(lora_adapter(tmp_path, scale, sd15.source), "unet")[weight] - before
    assert not moves[0.0].any() and moves[1.0].any()
    torch.testing.assert_close(2 * moves[0.5], moves[1.0])
    torch.testing.assert_close(moves[-1.0], -moves[1.0])


def test_weights_left_out_by_options_are_passed_over(sd15: Networks, tmp_path: Path) -> None:
    text_lora(sd15).save_pretrained(tmp_path)
    adapter = lora_adapter(tmp_path, 1.0, sd15.source)
    whole = sd15.merged(None, "text_encoder")
    kept = {name: tensor.clone() for name, tensor in whole.items() if ".layers.11." not in name}
    adapter("text_encoder", kept)
    expected = sd15.merged(adapter, "text_encoder")
    assert all(torch.equal(kept[name], expected[name]) for name in kept)
