"""LoRA files for tests, made by peft on a published checkpoint's networks."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from torch import Tensor, nn
from transformers import CLIPTextModel

from mobile_diffusion.checkpoint import open_source
from mobile_diffusion.formats.checkpoint_files import CheckpointFiles, builders
from mobile_diffusion.formats.lora import LoraAdapter
from mobile_diffusion.tensor_layout import load_layout
from tests.mobile_diffusion.formats.conftest import Publish

State = dict[str, Tensor]
UNET_TARGETS = r".*\.(to_q|to_k|to_v|to_out\.0|ff\.net\.0\.proj|ff\.net\.2|proj_in|proj_out|conv1|conv_shortcut|conv)"
TEXT_TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]


@dataclasses.dataclass(frozen=True)
class Networks:
    """A published checkpoint: opened by us, and its folder for the libraries."""

    folder: Path
    source: CheckpointFiles

    def unet(self) -> UNet2DConditionModel:
        return UNet2DConditionModel.from_pretrained(self.folder / "unet")

    def text(self) -> CLIPTextModel:
        return CLIPTextModel.from_pretrained(self.folder / "text_encoder")

    def merged(self, adapter: LoraAdapter | None, part: str) -> State:
        """The weights that we load."""
        changes = [] if adapter is None else [lambda state: adapter(part, state)]
        return load_layout(builders(self.source.config)[part], self.source.layouts[part], changes).state_dict()


def networks(published: Publish, name: str) -> Networks:
    return Networks(published(name), open_source(published(name)).source)


def unet_lora(opened: Networks, **options: Any) -> PeftModel:
    """Diffusers' U-Net with a random LoRA: linear, 1x1 and 3x3 convolutions."""
    torch.manual_seed(5)
    settings: dict[str, Any] = {"r": 4, "lora_alpha": 6, "target_modules": UNET_TARGETS, "init_lora_weights": False}
    return get_peft_model(opened.unet(), LoraConfig(**(settings | options)))


def text_lora(opened: Networks, **options: Any) -> PeftModel:
    torch.manual_seed(6)
    settings: dict[str, Any] = {"r": 3, "lora_alpha": 5, "target_modules": TEXT_TARGETS, "init_lora_weights": False}
    return get_peft_model(opened.text(), LoraConfig(**(settings | options)))


def lora_state(model: PeftModel) -> State:
    """A LoRA's tensors by the names that peft has inside a model."""
    state = get_peft_model_state_dict(model)
    return {name.removeprefix("base_model.model."): tensor.contiguous() for name, tensor in state.items()}


def alphas(model: PeftModel, state: State) -> State:
    """Kohya's tensor beside each module, from peft's own scaling."""
    found: State = {}
    for name, module in model.base_model.model.named_modules():
        if getattr(module, "scaling", None):
            found[name] = torch.tensor(float(module.scaling["default"] * module.r["default"]))
    return found


def largest_error(ours: State, model: nn.Module, prefix: str = "") -> float:
    """Largest difference from a merged model; every one of its weights is compared."""
    expected = {prefix + name.removeprefix(prefix): tensor for name, tensor in model.state_dict().items()}
    assert sorted(ours) == sorted(expected)
    return max(float((ours[name] - tensor).abs().max()) for name, tensor in expected.items())


def change(before: State, after: State) -> float:
    return max(float((after[name] - before[name]).abs().max()) for name in before)


def diffusers_file(folder: Path, unet: PeftModel, text: PeftModel, metadata: bool) -> Path:
    """What diffusers saves of both, with or without the metadata that says alpha."""
    kept = {
        f"{part}_lora_adapter_metadata": {
            name: sorted(value) if isinstance(value, set) else value
            for name, value in model.peft_config["default"].to_dict().items()
        }
        for part, model in (("unet", unet), ("text_encoder", text))
    }
    StableDiffusionPipeline.save_lora_weights(
        folder,
        unet_lora_layers=lora_state(unet),
        text_encoder_lora_layers=lora_state(text),
        **(kept if metadata else {}),
    )
    return folder / "pytorch_lora_weights.safetensors"


def kohya_state(unet: PeftModel, text: PeftModel, prefix: str = "lora_te_") -> State:
    """Kohya's names, written out here: network and module in underscores, halves and alpha after dots."""
    state: State = {}
    for network, model, infix in (("lora_unet_", unet, ""), (prefix, text, "text_model_")):
        tensors = lora_state(model)
        for name, tensor in tensors.items():
            module, half = re.fullmatch(r"(.+)\.lora_([AB])\.weight", name).groups()  # type: ignore[union-attr]
            flat = network + infix + module.removeprefix("text_model.").replace(".", "_")
            state[f"{flat}.lora_{'down' if half == 'A' else 'up'}.weight"] = tensor
        for module, alpha in alphas(model, tensors).items():
            state[f"{network}{infix}{module.removeprefix('text_model.').replace('.', '_')}.alpha"] = alpha
    return state


def unet_file(folder: Path, unet: PeftModel) -> None:
    """What diffusers saves of a U-Net's LoRA."""
    settings = unet.peft_config["default"].to_dict()
    metadata = {name: sorted(each) if isinstance(each, set) else each for name, each in settings.items()}
    StableDiffusionPipeline.save_lora_weights(folder, lora_state(unet), unet_lora_adapter_metadata=metadata)
