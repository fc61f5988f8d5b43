"""Write checkpoints of random weights, by diffusers and transformers themselves, in real configurations and layouts.

    python -m benchmarks.checkpoints.random_weights sd15 /tmp/sd15 --half --variant fp16   # 2.1 GB, as published
    python -m benchmarks.checkpoints.random_weights sd21-v /tmp/sd21 --narrow 16           # every width a sixteenth
    python -m benchmarks.checkpoints.random_weights bk-sdm-tiny /tmp/bk --shards 500MB     # under an index

Weights of Stable Diffusion may not be distributed here; these files take the same path through our code.  Norms and
biases are random too, so that a missing one shows.  What transformers 5 writes differently from published files is
put back: names of the text encoder begin with `text_model.`, and the tokenizer is vocab.json and merges.txt.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from safetensors.torch import load_file, save_file
from torch import nn

from benchmarks.measuring.command_line import one_of, run_script
from benchmarks.paths import ROOT

LOGGER = logging.getLogger(__name__)
TOKENIZER = ROOT / "mobile_diffusion" / "clip_vocabulary"
SECOND_PADDING = "!"
Settings = dict[str, Any]
HINT_GAIN = 2.0
"""How loud the layers are that encode a hint, and those that are zero in an untrained ControlNet: with the weights that
layers begin with, nothing would be left of a hint."""

CROSS_DOWN, CROSS_UP = "CrossAttnDownBlock2D", "CrossAttnUpBlock2D"
SD1: Settings = {"cross_attention_dim": 768, "attention_head_dim": 8, "sample_size": 64}
SD2: Settings = {
    "cross_attention_dim": 1024,
    "attention_head_dim": [5, 10, 20, 20],
    "sample_size": 64,
    "use_linear_projection": True,
}
BK_BASE: Settings = {**SD1, "layers_per_block": 1}
BK_SMALL: Settings = {**BK_BASE, "mid_block_type": None}
BK_TINY: Settings = {
    **BK_SMALL,
    "block_out_channels": [320, 640, 1280],
    "down_block_types": [CROSS_DOWN] * 3,
    "up_block_types": [CROSS_UP] * 3,
}
SDXS: Settings = {
    **BK_TINY,
    "down_block_types": ["DownBlock2D", CROSS_DOWN, CROSS_DOWN],
    "up_block_types": [CROSS_UP, CROSS_UP, "UpBlock2D"],
}
XL: Settings = {
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", CROSS_DOWN, CROSS_DOWN],
    "up_block_types": [CROSS_UP, CROSS_UP, "UpBlock2D"],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "transformer_layers_per_block": [1, 2, 10],
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "sample_size": 128,
}
SSD_1B: Settings = {
    **XL,
    "mid_block_type": "UNetMidBlock2D",
    "transformer_layers_per_block": [0, [2, 2], [4, 4]],
    "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], 1],
}
VEGA: Settings = {**SSD_1B, "transformer_layers_per_block": [0, [1, 1], [2, 2]]}
VEGA["reverse_transformer_layers_per_block"] = [[2, 2, 2], [1, 1, 1], 1]
KOALA_1B: Settings = {**XL, "layers_per_block": 1, "transformer_layers_per_block": [1, 2, 6]}
KOALA_700M: Settings = {**KOALA_1B, "transformer_layers_per_block": [1, 2, 5], "mid_block_type": None}
KL: Settings = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "sample_size": 512,
}
KL_XL: Settings = {**KL, "scaling_factor": 0.13025, "sample_size": 1024, "force_upcast": True}
CLIP_L: Settings = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "hidden_act": "quick_gelu",
    "projection_dim": 768,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "pad_token_id": 1,
}
OPENCLIP_H: Settings = {
    **CLIP_L,
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "hidden_act": "gelu",
    "projection_dim": 512,
}
OPENCLIP_G: Settings = {
    **OPENCLIP_H,
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_hidden_layers": 32,
    "num_attention_heads": 20,
    "projection_dim": 1280,
}
BETAS: Settings = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
PNDM: Settings = {**BETAS, "skip_prk_steps": True, "set_alpha_to_one": False}
DDIM_V: Settings = {
    **BETAS,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "prediction_type": "v_prediction",
}


@dataclass(frozen=True)
class Architecture:
    """One published checkpoint's configuration, in diffusers' and transformers' words."""

    unet: Settings
    text: Settings = field(default_factory=lambda: CLIP_L)
    vae: Settings | None = field(default_factory=lambda: KL)
    """None for a tiny autoencoder."""
    scheduler: tuple[str, Settings] = ("PNDMScheduler", PNDM)
    pipeline: str = "StableDiffusionPipeline"
    padding: str = "<|endoftext|>"
    text_2: Settings | None = None
    """SDXL's second text encoder, whose prompts are padded by "!"."""


EULER: Settings = {**BETAS, "timestep_spacing": "leading", "use_karras_sigmas": False}


def xl(unet: Settings, scheduler: tuple[str, Settings] = ("EulerDiscreteScheduler", EULER)) -> Architecture:
    """A relative of SDXL."""
    return Architecture(unet, vae=KL_XL, scheduler=scheduler, pipeline="StableDiffusionXLPipeline", text_2=OPENCLIP_G)


ARCHITECTURES = {
    "sd15": Architecture(SD1),
    "sd21-base": Architecture(SD2, OPENCLIP_H, padding="!"),
    "sd21-v": Architecture({**SD2, "sample_size": 96}, OPENCLIP_H, scheduler=("DDIMScheduler", DDIM_V), padding="!"),
    "bk-sdm-base": Architecture(BK_BASE),
    "bk-sdm-small": Architecture(BK_SMALL),
    "bk-sdm-tiny": Architecture(BK_TINY),
    "small-sd": Architecture(BK_SMALL, scheduler=("DPMSolverMultistepScheduler", BETAS)),
    "tiny-sd": Architecture(BK_TINY, scheduler=("DPMSolverMultistepScheduler", BETAS)),
    "lcm-dreamshaper": Architecture(
        {**SD1, "time_cond_proj_dim": 256},
        scheduler=("LCMScheduler", {**BETAS, "steps_offset": 0}),
        pipeline="LatentConsistencyModelPipeline",
    ),
    "sdxs-512": Architecture(SDXS, vae=None, scheduler=("DEISMultistepScheduler", BETAS)),
}
XL_ARCHITECTURES = {
    "sdxl": xl(XL),
    "ssd-1b": xl(SSD_1B),
    "segmind-vega": xl(VEGA),
    "koala-1b": xl(KOALA_1B),
    "koala-700m": xl(KOALA_700M),
    "lcm-sdxl": xl({**XL, "time_cond_proj_dim": 256}, ("LCMScheduler", {**BETAS, "steps_offset": 0})),
}
"""Relatives of SDXL."""
PICTURE_ARCHITECTURES = {
    "sd15-inpainting": Architecture({**SD1, "in_channels": 9}, pipeline="StableDiffusionInpaintPipeline"),
    "instruct-pix2pix": Architecture(
        {**SD1, "in_channels": 8},
        scheduler=("EulerAncestralDiscreteScheduler", BETAS),
        pipeline="StableDiffusionInstructPix2PixPipeline",
    ),
}
"""Networks that read a picture beside the text."""
EVERY = ARCHITECTURES | XL_ARCHITECTURES | PICTURE_ARCHITECTURES
TAESD = "taesd"
"""A folder with a tiny autoencoder alone."""


def write_checkpoint(
    name: str,
    folder: Path,
    narrow: int = 1,
    half: bool = False,
    variant: str | None = None,
    shards: str = "10GB",
    seed: int = 0,
) -> Path:
    """Write the named architecture with random weights into `folder`, and return it.

    `narrow` divides every width, `half` writes float16, `shards` is the largest size of one file.
    """
    import diffusers

    torch.manual_seed(seed)
    dtype = torch.float16 if half else torch.float32
    save: Settings = {"variant": variant, "max_shard_size": shards}
    if name == TAESD:
        tiny = random_weights(lambda: diffusers.AutoencoderTiny(**tiny_settings(narrow)), dtype)
        tiny.save_pretrained(folder, **save)
        return folder
    return write_architecture(EVERY[name], folder, narrow, dtype, save)


def write_control(name: str, folder: Path, narrow: int = 1, seed: int = 1, **settings: Any) -> Path:
    """Write a ControlNet for the named architecture, no weight of it zero, and return its folder.

    `settings` are options of diffusers' ControlNetModel that differ.
    """
    import diffusers

    torch.manual_seed(seed)
    unet = narrow_unet(EVERY[name].unet, narrow)
    left_out = ("sample_size", "in_channels", "up_block_types", "mid_block_type", "time_cond_proj_dim")
    own = {key: value for key, value in unet.items() if key not in left_out and not key.startswith("reverse")}
    hint = {"conditioning_embedding_out_channels": [max(4, width // narrow) for width in (16, 32, 96, 256)]}
    net = random_weights(lambda: diffusers.ControlNetModel(**{**own, **hint, **settings}), torch.float32)
    hint_layers = [each for each in net.controlnet_cond_embedding.modules() if isinstance(each, nn.Conv2d)]
    for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block, *hint_layers):
        layer.weight.copy_(torch.randn_like(layer.weight) * HINT_GAIN / layer.weight[0].numel() ** 0.5)
    net.save_pretrained(folder)
    return folder


def write_t2i_adapter(name: str, folder: Path, narrow: int = 1, seed: int = 1, **settings: Any) -> Path:
    """Write a T2I-Adapter for the named architecture, and return its folder; `settings` as in `write_control`."""
    import diffusers

    torch.manual_seed(seed)
    widths = list(narrow_unet(EVERY[name].unet, narrow)["block_out_channels"])
    light = settings.get("adapter_type") == "light_adapter"
    wide = {"adapter_type": "full_adapter_xl", "downscale_factor": 16, "channels": [*widths, widths[-1]]}
    own = wide if name in XL_ARCHITECTURES else {"channels": widths[:-1] if light else widths}
    net = random_weights(lambda: diffusers.T2IAdapter(**{**own, **settings}), torch.float32)
    net.save_pretrained(folder)
    return folder


def write_architecture(
    architecture: Architecture,
    folder: Path,
    narrow: int = 1,
    dtype: torch.dtype = torch.float32,
    save: Settings | None = None,
) -> Path:
    """Write an architecture that need not have a name; `save` are options of diffusers' save_pretrained."""
    build_pipeline(architecture, narrow, dtype).save_pretrained(folder, **(save or {}))
    publish_text_names(folder / "text_encoder")
    write_tokenizer(folder / "tokenizer", architecture.padding)
    if architecture.text_2 is not None:
        write_tokenizer(folder / "tokenizer_2", SECOND_PADDING)
    return folder


def build_pipeline(architecture: Architecture, narrow: int = 1, dtype: torch.dtype = torch.float32) -> Any:
    """The pipeline in memory, all of its weights random."""
    import diffusers
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    unet, text = narrow_unet(architecture.unet, narrow), narrow_text(architecture.text, narrow)
    scheduler, settings = architecture.scheduler
    if architecture.vae is None:
        vae = random_weights(lambda: diffusers.AutoencoderTiny(**tiny_settings(narrow)), dtype)
    else:
        kl = narrow_kl(architecture.vae, narrow)
        vae = random_weights(lambda: diffusers.AutoencoderKL(**kl), dtype)
    extra: Settings = {"safety_checker": None, "requires_safety_checker": False}
    has_encoder = not architecture.pipeline.startswith(("LatentConsistency", "StableDiffusionXL"))
    extra |= {"image_encoder": None} if has_encoder else {}
    if architecture.text_2 is not None:
        text_2 = CLIPTextConfig(**narrow_text(architecture.text_2, narrow))
        extra = {
            "text_encoder_2": random_weights(lambda: CLIPTextModelWithProjection(text_2), dtype),
            "tokenizer_2": CLIPTokenizer.from_pretrained(TOKENIZER, pad_token=SECOND_PADDING),
            "add_watermarker": False,
        }
    return getattr(diffusers, architecture.pipeline)(
        vae=vae,
        text_encoder=random_weights(lambda: CLIPTextModel(CLIPTextConfig(**text)), dtype),
        tokenizer=CLIPTokenizer.from_pretrained(TOKENIZER, pad_token=architecture.padding),
        unet=random_weights(lambda: diffusers.UNet2DConditionModel(**unet), dtype),
        scheduler=getattr(diffusers, scheduler)(**settings),
        feature_extractor=None,
        **extra,
    )


def random_weights(build: Callable[[], Any], dtype: torch.dtype) -> Any:
    """A module in evaluation mode, made in `dtype` from the start, with random norms and biases too."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        module: nn.Module = build().eval().requires_grad_(False)
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    finally:
        torch.set_default_dtype(before)
    return module


def narrow_unet(settings: Settings, divisor: int) -> Settings:
    """A U-Net with every width divided, and as many groups and heads as then fit; pictures of 64 pixels."""
    channels = [width // divisor for width in settings.get("block_out_channels", [320, 640, 1280, 1280])]
    heads = settings["attention_head_dim"]
    several = heads if isinstance(heads, list) else [heads] * len(channels)
    several = [math.gcd(count, width) for count, width in zip(several, channels, strict=True)]
    smaller = {} if divisor == 1 else {"sample_size": 8, "norm_num_groups": math.gcd(32, *channels)}
    return {
        **settings,
        "block_out_channels": channels,
        "cross_attention_dim": settings["cross_attention_dim"] // divisor,
        "attention_head_dim": several if isinstance(heads, list) else min(several),
        **_narrow_added(settings, divisor),
        **smaller,
    }


def _narrow_added(settings: Settings, divisor: int) -> Settings:
    """SDXL's pooled text divided; the embedding of the picture's size keeps its width."""
    if "addition_time_embed_dim" not in settings:
        return {}
    size = 6 * settings["addition_time_embed_dim"]
    pooled = (settings["projection_class_embeddings_input_dim"] - size) // divisor
    return {"projection_class_embeddings_input_dim": pooled + size}


def narrow_text(settings: Settings, divisor: int) -> Settings:
    """A text encoder with every width divided."""
    width = settings["hidden_size"] // divisor
    heads = math.gcd(settings["num_attention_heads"], width)
    inner = settings["intermediate_size"] // divisor
    projected = settings["projection_dim"] // divisor
    return {
        **settings,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "projection_dim": projected,
    }


def narrow_kl(settings: Settings, divisor: int) -> Settings:
    """A KL autoencoder with every width divided."""
    channels = [width // divisor for width in settings["block_out_channels"]]
    return {**settings, "block_out_channels": channels, "norm_num_groups": math.gcd(32, *channels)}


def tiny_settings(divisor: int) -> Settings:
    """A tiny autoencoder with every width divided."""
    width = [64 // divisor] * 4
    return {"encoder_block_out_channels": width, "decoder_block_out_channels": width}


def rename_tensors(folder: Path, rename: Callable[[str], str]) -> None:
    """Rename the tensors of every safetensors file in a folder, and in the indices of shards."""
    for file in sorted(folder.glob("*.safetensors")):
        save_file({rename(name): tensor for name, tensor in load_file(file).items()}, file, metadata={"format": "pt"})
    for file in sorted(folder.glob("*.index*.json")):
        index = json.loads(file.read_text())
        index["weight_map"] = {rename(name): shard for name, shard in index["weight_map"].items()}
        file.write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def publish_text_names(folder: Path) -> None:
    """Name a text encoder's tensors as every published file does."""
    rename_tensors(folder, lambda name: name if name.startswith("text_model.") else f"text_model.{name}")


def write_tokenizer(folder: Path, padding: str) -> None:
    """Replace the files that transformers 5 writes by those that published checkpoints have."""
    shutil.rmtree(folder)
    folder.mkdir()
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(TOKENIZER / name, folder / name)
    file = folder / "special_tokens_map.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "pad_token": padding}, indent=2) + "\n")


def main(
    name: Annotated[str, typer.Argument(help="Architecture.", callback=one_of([*EVERY, TAESD], "name"))],
    folder: Annotated[Path, typer.Argument(help="Folder to write.")],
    narrow: Annotated[int, typer.Option(min=1, help="Divide every width by this.")] = 1,
    half: Annotated[bool, typer.Option("--half", help="Write float16.")] = False,
    variant: Annotated[str | None, typer.Option(help="Variant in the names of the files, such as fp16.")] = None,
    shards: Annotated[str, typer.Option(help="Largest size of one file, such as 500MB.")] = "10GB",
    seed: Annotated[int, typer.Option(help="Of the weights.")] = 0,
) -> None:
    """Write a checkpoint."""
    write_checkpoint(name, folder, narrow=narrow, half=half, variant=variant, shards=shards, seed=seed)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    LOGGER.info("%s: %.2f GB", folder, size / 1e9)


if __name__ == "__main__":
    run_script(main, __doc__)
