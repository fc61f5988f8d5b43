"""Writes the files of this folder with LyCORIS itself: adapters, and the weights that LyCORIS merges them to.

    pip install --target /tmp/lycoris --no-deps lycoris_lora==4.1.3 einops toml
    PYTHONPATH=/tmp/lycoris python tests/mobile_diffusion/formats/lycoris/make.py

The layers have the shapes of the tests' narrow Stable Diffusion 1.5.  LyCORIS 4.1.3 multiplies LoHa and LoKr twice by
alpha / rank when it merges, so alpha equals the rank in those files; peft is the judge of their scale.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from lycoris.modules.full import FullModule  # type: ignore[import-not-found]
from lycoris.modules.locon import LoConModule  # type: ignore[import-not-found]
from lycoris.modules.loha import LohaModule  # type: ignore[import-not-found]
from lycoris.modules.lokr import LokrModule  # type: ignore[import-not-found]
from lycoris.modules.norms import NormModule  # type: ignore[import-not-found]
from safetensors.torch import save_file
from torch import Tensor, nn

HERE = Path(__file__).parent
QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
OUT = "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2"
CONV = "down_blocks.0.resnets.0.conv1"
CONV2 = "down_blocks.0.resnets.0.conv2"
NORM = "down_blocks.0.resnets.0.norm1"
LAYERS: dict[str, nn.Module] = {
    QUERY: nn.Linear(20, 20, bias=False),
    OUT: nn.Linear(80, 20),
    CONV: nn.Conv2d(20, 20, 3, padding=1),
    CONV2: nn.Conv2d(20, 20, 3, padding=1),
    NORM: nn.GroupNorm(4, 20),
}
LOW = {"lora_dim": 4, "alpha": 6}
SAME = {"lora_dim": 2, "alpha": 2}
BOTH = SAME | {"decompose_both": True}
TUCKER = {"use_tucker": True}
ROWS, COLUMNS = {"weight_decompose": True, "wd_on_out": True}, {"weight_decompose": True, "wd_on_out": False}
FILES: dict[str, dict[str, tuple[Any, dict[str, Any]]]] = {
    "locon": {QUERY: (LoConModule, LOW), CONV: (LoConModule, LOW | TUCKER), CONV2: (LoConModule, LOW)},
    "loha": {QUERY: (LohaModule, SAME), CONV: (LohaModule, SAME | TUCKER), CONV2: (LohaModule, SAME)},
    "lokr": {
        QUERY: (LokrModule, {"full_matrix": True, "lora_dim": 2, "alpha": 1}),
        OUT: (LokrModule, BOTH),
        CONV: (LokrModule, SAME | TUCKER),
        CONV2: (LokrModule, SAME),
    },
    "dora": {
        QUERY: (LoConModule, LOW | ROWS),
        OUT: (LoConModule, LOW | COLUMNS),
        CONV: (LohaModule, SAME | TUCKER | ROWS),
        CONV2: (LokrModule, SAME | COLUMNS),
    },
    "full": {OUT: (FullModule, {}), CONV: (FullModule, {}), NORM: (NormModule, {})},
}


def main() -> None:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    for layer in LAYERS.values():
        _fill(layer, generator, 0.3)
    save_file(_states("", LAYERS), HERE / "base.safetensors")
    for name, modules in FILES.items():
        adapter: dict[str, Tensor] = {}
        merged: dict[str, Tensor] = {}
        for layer, (kind, options) in modules.items():
            flat = f"lora_unet_{layer.replace('.', '_')}"
            module = kind(flat, copy.deepcopy(LAYERS[layer]), 1.0, **options)
            if kind is FullModule:
                module.apply_to()  # its weight is now the whole one, as in training
            _fill(module, generator, 0.5)
            adapter |= {f"{flat}.{key}": tensor for key, tensor in module.state_dict().items()}
            weight, bias = module.get_merged_weight(1.0, LAYERS[layer].weight.shape)
            merged |= {f"{layer}.weight": weight} | ({} if bias is None else {f"{layer}.bias": bias})
        save_file(_plain(adapter), HERE / f"{name}.safetensors")
        save_file(_plain(merged), HERE / f"{name}-merged.safetensors")


def _fill(module: nn.Module, generator: torch.Generator, size: float) -> None:
    for name, parameter in module.named_parameters(recurse=True):
        random = torch.randn(parameter.shape, generator=generator) * size
        parameter.data.copy_(parameter.data * (1 + random) if name == "dora_scale" else random)


def _states(prefix: str, layers: dict[str, nn.Module]) -> dict[str, Tensor]:
    return {f"{prefix}{name}.{key}": t for name, layer in layers.items() for key, t in layer.state_dict().items()}


def _plain(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}


if __name__ == "__main__":
    main()
