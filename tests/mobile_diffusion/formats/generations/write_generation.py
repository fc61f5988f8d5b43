"""Writes the settings files of one generation of diffusers and transformers as one JSON object: path -> content.

Run it with old wheels in front of the path, for instance those of early 2025:

    pip install --no-deps --target old diffusers==0.32.2 transformers==4.47.1 huggingface_hub==0.27.1 tokenizers==0.21.4
    PYTHONPATH=old python tests/mobile_diffusion/formats/generations/write_generation.py diffusers-0.32.2.json
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

VOCABULARY = Path(__file__).parents[4] / "mobile_diffusion" / "clip_vocabulary"
SCHEDULERS = (
    "PNDMScheduler",
    "DDIMScheduler",
    "EulerDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "LCMScheduler",
)
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
MODULES = {
    "UNet2DConditionModel": ("diffusers.models.unet_2d_condition", "diffusers.models.unets.unet_2d_condition"),
    "AutoencoderKL": ("diffusers.models.vae", "diffusers.models.autoencoder_kl", "diffusers.models"),
}
KL: dict[str, Any] = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "sample_size": 512,
}


def without_torchao() -> None:
    """Hide a package that old versions of diffusers cannot import."""
    find = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *rest: None if name == "torchao" else find(name, *rest)  # type: ignore


def network(name: str) -> Any:
    """A class of networks, from the first module of MODULES that has it."""
    for module in MODULES[name]:
        with contextlib.suppress(ImportError, AttributeError):
            return getattr(importlib.import_module(module), name)
    raise ImportError(name)


def write(folder: Path) -> None:
    """Save the components of Stable Diffusion 1.5 without weights."""
    schedulers: Any = importlib.import_module("diffusers.schedulers")
    clip: Any = importlib.import_module("transformers.models.clip.configuration_clip")
    tokenization: Any = importlib.import_module("transformers.models.clip.tokenization_clip")
    files = [str(VOCABULARY / name) for name in ("vocab.json", "merges.txt")]
    tokenizer = tokenization.CLIPTokenizer(*files, model_max_length=77, pad_token="<|endoftext|>")
    tokenizer.save_pretrained(folder / "tokenizer")
    text = clip.CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_attention_heads=12, architectures=["CLIPTextModel"]
    )
    text.save_pretrained(folder / "text_encoder")
    with torch.device("meta"):
        unet = network("UNet2DConditionModel")(cross_attention_dim=768, sample_size=64)
        unet.save_config(folder / "unet")
        network("AutoencoderKL")(**KL).save_config(folder / "vae")
    for name in SCHEDULERS:
        kind = getattr(schedulers, name, None)
        if hasattr(kind, "save_config"):  # the class exists in this version, and is not a stand-in
            own = {"skip_prk_steps": True} if name == "PNDMScheduler" else {}
            kind(**BETAS, **own).save_config(folder / "scheduler" / name)


def main(file: Path) -> None:
    """Write `file`; the tokenizer's vocabulary, which all generations share, is left out."""
    without_torchao()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        found = sorted(
            path for path in Path(folder).rglob("*.json") if path.name not in ("vocab.json", "tokenizer.json")
        )
        contents = {path.relative_to(folder).as_posix(): json.loads(path.read_text()) for path in found}
    file.write_text(json.dumps(contents, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
