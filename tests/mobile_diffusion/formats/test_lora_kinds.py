"""LoHa, LoKr, DoRA, biases and whole differences, merged as peft and LyCORIS merge them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from peft import LoHaConfig, LoKrConfig, PeftConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file

from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.formats.lora import joined, lora_adapter
from mobile_diffusion.formats.open_options import OpenOptions
from tests.mobile_diffusion.formats.conftest import Publish
from tests.mobile_diffusion.formats.lora_files import (
    UNET_TARGETS,
    Networks,
    State,
    change,
    largest_error,
    lora_state,
    networks,
    text_lora,
    unet_lora,
)

LYCORIS = Path(__file__).parent / "lycoris"
TOLERANCE = 1e-5
"""Weights are up to about 1; LoHa and LoKr of these sizes change them by up to about 10."""
TUCKER = {"use_effective_conv2d": True}
CONFIGS = {
    "loha": LoHaConfig(r=4, alpha=6, init_weights=False),
    "loha-tucker": LoHaConfig(r=4, alpha=6, init_weights=False, **TUCKER),
    "lokr": LoKrConfig(r=2, alpha=3, init_weights=False, decompose_both=True),
    "lokr-tucker": LoKrConfig(r=2, alpha=3, init_weights=False, **TUCKER),
    "lokr-whole": LoKrConfig(
        r=100, alpha=50, init_weights=False, rank_pattern={"to_q": 25}, alpha_pattern={"to_k": 10}
    ),
}


@pytest.fixture(scope="module")
def sd15(published: Publish) -> Networks:
    return networks(published, "sd15")


def lycoris_model(sd15: Networks, name: str) -> PeftModel:
    """Diffusers' U-Net with a random LoHa or LoKr, small enough to leave the weights their size."""
    config: PeftConfig = CONFIGS[name]
    config.target_modules = UNET_TARGETS
    torch.manual_seed(7)
    return get_peft_model(sd15.unet(), config)


def scaled(model: PeftModel, scale: float) -> torch.nn.Module:
    """peft's network with the adapter merged at a scale."""
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.set_scale("default", scale)
    return model.merge_and_unload()


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("scale", [1.0, -0.4])
def test_peft_folders_of_lycoris_merge_as_peft_merges(sd15: Networks, tmp_path: Path, name: str, scale: float) -> None:
    model = lycoris_model(sd15, name)
    model.save_pretrained(tmp_path)
    state = sd15.merged(lora_adapter(tmp_path, scale, sd15.source), "unet")
    assert change(sd15.merged(None, "unet"), state) > 0.01
    assert largest_error(state, scaled(model, scale)) < TOLERANCE


@pytest.mark.parametrize("name", ["loha", "loha-tucker", "lokr", "lokr-tucker"])
def test_kohyas_names_of_lycoris_merge_as_peft_merges(sd15: Networks, tmp_path: Path, name: str) -> None:
    model, state = lycoris_model(sd15, name), State()
    alpha = torch.tensor(float(CONFIGS[name].alpha))
    for key, tensor in lora_state(model).items():
        module, role = re.fullmatch(r"(.+)\.(\w+)", key).groups()  # type: ignore[union-attr]
        flat = "lora_unet_" + module.replace(".", "_")
        state |= {f"{flat}.{role}": tensor, f"{flat}.alpha": alpha.clone()}
    modules = {key.partition(".")[0] for key in state}
    for flat in modules:  # LyCORIS gives a LoKr of whole factors the scale 1: its alpha is its rank
        if f"{flat}.lokr_w1" in state and f"{flat}.lokr_w2" in state:
            state[f"{flat}.lokr_w1"] = state[f"{flat}.lokr_w1"] * float(alpha) / CONFIGS[name].r
    file = tmp_path / "kohya.safetensors"
    save_file(state, file)
    merged = sd15.merged(lora_adapter(file, 0.7, sd15.source), "unet")
    assert largest_error(merged, scaled(model, 0.7)) < TOLERANCE


@pytest.mark.parametrize("name", ["locon", "loha", "lokr", "dora", "full"])
def test_lycoris_files_merge_as_lycoris_merges(sd15: Networks, name: str) -> None:
    base, merged = load_file(LYCORIS / "base.safetensors"), load_file(LYCORIS / f"{name}-merged.safetensors")
    state = {key: base[key].clone() for key in merged}
    lora_adapter(LYCORIS / f"{name}.safetensors", 1.0, sd15.source)("unet", state)
    assert len(merged) >= 3
    for key, tensor in merged.items():
        assert (tensor - base[key]).abs().max() > 0.1, key
        torch.testing.assert_close(state[key], tensor, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["sd15", "sd21-base"])
@pytest.mark.parametrize("scale", [1.0, 0.6])
def test_dora_merges_as_peft_merges(published: Publish, tmp_path: Path, name: str, scale: float) -> None:
    opened = networks(published, name)
    for model, part, prefix in (
        (unet_lora(opened, use_dora=True), "unet", ""),
        (text_lora(opened, use_dora=True), "text_encoder", "text_model."),
    ):
        stretch(model)
        model.save_pretrained(tmp_path / part)
        state = opened.merged(lora_adapter(tmp_path / part, scale, opened.source), part)
        assert change(opened.merged(None, part), state) > 0.01
        assert largest_error(state, scaled(model, scale), prefix) < TOLERANCE


def stretch(model: PeftModel) -> None:
    """Change the lengths that peft starts DoRA with, which leave the weights as they are."""
    for name, parameter in model.named_parameters():
        if "lora_magnitude_vector" in name:
            parameter.data.mul_(1 + 0.3 * torch.rand_like(parameter))


@pytest.mark.parametrize("shape", ["peft", "lycoris", "flat"])
def test_kohyas_dora_merges_as_peft_merges(sd15: Networks, tmp_path: Path, shape: str) -> None:
    model, state = unet_lora(sd15, use_dora=True), State()
    stretch(model)
    for key, tensor in lora_state(model).items():
        module, role = re.fullmatch(r"(.+)\.(lora_(?:A|B|magnitude_vector))(?:\.weight)?", key).groups()  # type: ignore[union-attr]
        flat = "lora_unet_" + module.replace(".", "_")
        ones = [1] * (len(load_shape(sd15, module)) - 1)
        if role == "lora_magnitude_vector" and shape != "peft":
            state[f"{flat}.dora_scale"] = tensor.reshape(-1, *(ones if shape == "lycoris" else []))
        elif role == "lora_magnitude_vector":
            state[f"{flat}.lora_magnitude_vector"] = tensor
        else:
            state[f"{flat}.lora_{'down' if role == 'lora_A' else 'up'}.weight"] = tensor
            state[f"{flat}.alpha"] = torch.tensor(6.0)
    file = tmp_path / "dora.safetensors"
    save_file(state, file)
    merged = sd15.merged(lora_adapter(file, 1.0, sd15.source), "unet")
    assert largest_error(merged, scaled(model, 1.0)) < TOLERANCE


def load_shape(sd15: Networks, module: str) -> tuple[int, ...]:
    return sd15.source.layouts["unet"][f"{module}.weight"].shape


def test_several_loras_with_dora_merge_as_peft_merges(sd15: Networks, tmp_path: Path) -> None:
    """The lengths that DoRA replaces are those of the original weights, whatever was merged before."""
    model = unet_lora(sd15, use_dora=True)
    stretch(model)
    model.add_adapter("second", unet_lora(sd15, lora_alpha=3).peft_config["default"])
    model.add_adapter("third", unet_lora(sd15, use_dora=True, lora_alpha=2).peft_config["default"])
    model.save_pretrained(tmp_path)
    folders = [tmp_path, tmp_path / "second", tmp_path / "third"]
    adapter = joined([lora_adapter(folder, 1.0, sd15.source) for folder in folders])
    model.base_model.set_adapter(["default", "second", "third"])
    expected = model.merge_and_unload()
    assert largest_error(sd15.merged(adapter, "unet"), expected) < TOLERANCE
    opened = open_checkpoint(sd15.folder, OpenOptions(loras=tuple((folder, 1.0) for folder in folders)))
    assert largest_error(opened.unet.state_dict(), expected) < TOLERANCE


BIASED = r".*\.(to_out\.0|ff\.net\.0\.proj|ff\.net\.2|proj_in|proj_out|conv1|conv2)"


@pytest.mark.parametrize("names", ["peft", "diffusers"])
def test_biases_of_lora_merge_as_peft_merges(sd15: Networks, tmp_path: Path, names: str) -> None:
    model = unet_lora(sd15, lora_bias=True, target_modules=BIASED, lora_alpha=4 if names == "diffusers" else 6)
    for name, parameter in model.named_parameters():
        if name.endswith("lora_B.default.bias"):
            parameter.data.normal_()
    if names == "peft":
        model.save_pretrained(tmp_path)
    else:
        state = {f"unet.{name}": tensor for name, tensor in lora_state(model).items()}
        save_file(state, tmp_path / "pytorch_lora_weights.safetensors")
    merged = sd15.merged(lora_adapter(tmp_path, 0.7, sd15.source), "unet")
    bias = "mid_block.resnets.0.conv1.bias"
    assert (merged[bias] - sd15.merged(None, "unet")[bias]).abs().max() > 0.1
    assert largest_error(merged, scaled(model, 0.7)) < TOLERANCE
