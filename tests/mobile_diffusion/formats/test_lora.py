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


def text_2023_state(unet: PeftModel, text: PeftModel) -> State:
    """Diffusers 0.15 to 0.17: the text encoder's layers are named as the U-Net's."""
    names = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}
    state = {name: tensor for name, tensor in older_state(unet, text).items() if name.startswith("unet.")}
    for name, tensor in lora_state(text).items():
        module, last, half = re.fullmatch(r"(.+)\.(\w+_proj)\.lora_([AB])\.weight", name).groups()  # type: ignore[union-attr]
        state[f"text_encoder.text_model.{module}.{names[last]}_lora.{'down' if half == 'A' else 'up'}.weight"] = tensor
    return state


def wrapper_state(unet: PeftModel, text: PeftModel) -> State:
    """LyCORIS's wrapper of any network (SimpleTuner): one prefix for all."""
    both = lora_state(unet) | {f"text_model.{name}": tensor for name, tensor in lora_state(text).items()}
    found = State()
    for name, tensor in both.items():
        module, half = re.fullmatch(r"(.+)\.lora_([AB])\.weight", name).groups()  # type: ignore[union-attr]
        found[f"lycoris_{module.replace('.', '_')}.lora_{'down' if half == 'A' else 'up'}.weight"] = tensor
    return found


@pytest.mark.parametrize("spell", [older_state, default_state, text_2023_state, wrapper_state])
def test_other_spellings_of_diffusers(sd15: Networks, tmp_path: Path, spell: Callable[..., State]) -> None:
    targets = {"target_modules": r".*\.(to_q|to_k|to_v|to_out\.0)", "lora_alpha": 4}
    unet = unet_lora(sd15, **targets)
    text = text_lora(sd15, target_modules=["q_proj", "v_proj", "out_proj"], lora_alpha=3)
    file = tmp_path / "older.safetensors"
    save_file(spell(unet, text), file)
    adapter = lora_adapter(file, 1.0, sd15.source)
    assert largest_error(sd15.merged(adapter, "unet"), unet.merge_and_unload()) < TOLERANCE
    assert largest_error(sd15.merged(adapter, "text_encoder"), text.merge_and_unload(), "text_model.") < TOLERANCE


@pytest.mark.parametrize("prefix", ["lora_unet_", "diffusion_model."])
def test_latent_diffusions_names(sd15: Networks, tmp_path: Path, prefix: str) -> None:
    """Kohya's older files, and ComfyUI's own names."""
    unet = unet_lora(sd15)
    table = unet_names(sd15.source.config.unet)
    state = {}
    for name, tensor in lora_state(unet).items():
        module, half = re.fullmatch(r"(.+)\.lora_([AB])\.weight", name).groups()  # type: ignore[union-attr]
        theirs = table.theirs(module) or ""
        theirs = prefix + (theirs if prefix.endswith(".") else theirs.replace(".", "_"))
        state[f"{theirs}.lora_{'down' if half == 'A' else 'up'}.weight"] = tensor
        state[f"{theirs}.alpha"] = torch.tensor(6.0)
    separator = prefix[-1]
    for known in ("input_blocks.1.1.transformer_blocks.0.attn1.to_q", "output_blocks.11.0.in_layers.2"):
        assert f"{prefix}{known.replace('.', separator)}.lora_up.weight" in state
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
    pipeline = fused(sd15, file)
    adapter = lora_adapter(file, SCALE, sd15.source)
    assert largest_error(sd15.merged(adapter, "unet"), pipeline.unet) < TOLERANCE
    assert largest_error(sd15.merged(adapter, "text_encoder"), pipeline.text_encoder, "text_model.") < TOLERANCE


def test_attention_processors_merge_as_diffusers_fuses_them(sd15: Networks, tmp_path: Path) -> None:
    """Files of 2022 and 2023 (`unet.save_attn_procs`): the U-Net's attention alone, without a prefix."""
    unet = unet_lora(sd15, target_modules=r".*\.(to_q|to_k|to_v|to_out\.0)", lora_alpha=4)
    state = older_state(unet, text_lora(sd15))
    state = {name.removeprefix("unet."): tensor for name, tensor in state.items() if name.startswith("unet.")}
    first = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.processor.to_out_lora.down.weight"
    assert first in state
    save_file(state, tmp_path / "pytorch_lora_weights.safetensors")
    theirs = sd15.unet()
    theirs.load_lora_adapter(state, prefix=None)  # a pipeline of today would pass the file over, for want of a prefix
    theirs.fuse_lora(lora_scale=SCALE)
    theirs.unload_lora()
    adapter = lora_adapter(tmp_path, SCALE, sd15.source)
    assert change(sd15.merged(None, "unet"), sd15.merged(adapter, "unet")) > 0.01
    assert largest_error(sd15.merged(adapter, "unet"), theirs) < TOLERANCE


def test_the_text_encoder_of_2023_merges_as_diffusers_fuses_it(sd15: Networks, tmp_path: Path) -> None:
    targets = {"target_modules": ["q_proj", "k_proj", "v_proj", "out_proj"], "lora_alpha": 3}
    file = tmp_path / "2023.safetensors"
    save_file(text_2023_state(unet_lora(sd15, target_modules=["to_q"]), text_lora(sd15, **targets)), file)
    pipeline = fused(sd15, file)
    adapter = lora_adapter(file, SCALE, sd15.source)
    assert change(sd15.merged(None, "text_encoder"), sd15.merged(adapter, "text_encoder")) > 0.01
    assert largest_error(sd15.merged(adapter, "text_encoder"), pipeline.text_encoder, "text_model.") < TOLERANCE


def test_modules_without_alpha_have_the_scale_one(
    sd15: Networks, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As in kohya's scripts, A1111 and ComfyUI; diffusers takes the most frequent alpha, so the difference is told."""
    targets = {"target_modules": r".*\.(to_q|to_k)"}
    unet, text = unet_lora(sd15, **targets, alpha_pattern={"to_k": 4}), text_lora(sd15)
    state = kohya_state(unet, text)
    state = {name: tensor for name, tensor in state.items() if not name.endswith("to_k.alpha")}
    file = tmp_path / "some.safetensors"
    save_file(state, file)
    adapter = lora_adapter(file, SCALE, sd15.source)
    (line,) = [record.getMessage() for record in caplog.records]
    assert "32 of 136 modules have no alpha; they are scaled by 1, as in kohya's scripts" in line
    theirs = fused(sd15, file).unet
    key = "mid_block.attentions.0.transformer_blocks.0.attn1.to_k.weight"
    ours = sd15.merged(lora_adapter(file, 1.0, sd15.source), "unet")
    assert largest_error(ours, unet.merge_and_unload()) < TOLERANCE
    before = sd15.merged(None, "unet")[key]
    moved = sd15.merged(adapter, "unet")[key] - before
    torch.testing.assert_close(theirs.state_dict()[key] - before, moved * 6 / 4, rtol=1e-4, atol=1e-6)


def fused(opened: Networks, file: Path) -> StableDiffusionPipeline:
    """Diffusers' pipeline with the LoRA fused at SCALE."""
    pipeline = StableDiffusionPipeline.from_pretrained(opened.folder, safety_checker=None)
    pipeline.load_lora_weights(file)
    pipeline.fuse_lora(lora_scale=SCALE)
    pipeline.unload_lora_weights()
    return pipeline


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
