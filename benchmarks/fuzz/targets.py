"""What reads files of strangers, each with a small valid file to begin with.

A new target is one entry: the files of a folder, which of them is changed, and what reads it.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import save as safetensors

from benchmarks.paths import ROOT
from mobile_diffusion.config import ClipTextConfig

GOLDEN = ROOT / "assets" / "golden"
EMOJI = ROOT / "assets" / "emoji"
Read = Callable[[Path], object]
"""Reads the changed file at a path."""


@dataclass(frozen=True)
class Target:
    """A reader, and a valid input for it."""

    name: str
    file: str
    """The file that is changed, relative to the folder."""
    files: Callable[[], Mapping[str, bytes]]
    """All files of the folder."""
    reader: Read
    in_folder: bool = False
    """Whether the reader takes the folder instead of the file."""
    slow: bool = False
    """Whether a case takes tens of milliseconds; it then gets a tenth of the cases."""

    def prepare(self, folder: Path) -> None:
        """Write the valid files."""
        for name, content in self.files().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)

    def read(self, folder: Path) -> None:
        """Read the folder as it is."""
        self.reader(folder if self.in_folder else folder / self.file)


def one(name: str, file: str, content: Callable[[], bytes], reader: Read, in_folder: bool = False) -> Target:
    """A target of one file."""
    return Target(name, file, lambda: {file: content()}, reader, in_folder)


def document(values: Any) -> bytes:
    """JSON."""
    return json.dumps(values).encode()


def bundle_files() -> dict[str, bytes]:
    """A bundle whose programs are only bytes."""
    from assets.golden.sample import FILES, file_entries, sample_manifest
    from export.bundle.manifest import dump_manifest

    return {**FILES, "manifest.json": dump_manifest(sample_manifest(file_entries(FILES))).encode()}


def picture(kind: str) -> Callable[[], bytes]:
    """A small picture in a file format."""

    def content() -> bytes:
        pixels = np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind)
        return file.getvalue()

    return content


def lora() -> bytes:
    """A LoRA of one layer, in kohya's names."""
    name = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    down, up = np.ones((4, 32), np.float16), np.ones((32, 4), np.float16)
    return safetensors(
        {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": np.array(4, np.float32)}
    )


def words() -> dict[str, bytes]:
    """A tokenizer in the two files of CLIP's, with the merges of one word."""
    definition = json.loads((GOLDEN / "tokenizers" / "added.json").read_text(encoding="utf-8"))
    model = definition["model"]
    merges = [each if isinstance(each, str) else " ".join(each) for each in model["merges"]]
    start, end = "<|startoftext|>", "<|endoftext|>"
    settings = {"bos_token": start, "eos_token": end, "unk_token": end, "pad_token": end, "model_max_length": 77}
    return {
        "vocab.json": document(model["vocab"]),
        "merges.txt": ("#version: 0.2\n" + "\n".join(merges) + "\n").encode(),
        "tokenizer_config.json": document({**settings, "tokenizer_class": "CLIPTokenizer", "do_lower_case": True}),
        "special_tokens_map.json": document({name: settings[name] for name in list(settings)[:4]}),
    }


def scheduler() -> bytes:
    """Stable Diffusion 1.5's scheduler."""
    return document(
        {
            "_class_name": "PNDMScheduler",
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "num_train_timesteps": 1000,
            "set_alpha_to_one": False,
            "skip_prk_steps": True,
            "steps_offset": 1,
            "trained_betas": None,
        }
    )


def unet() -> bytes:
    """The configuration of a U-Net as diffusers writes it."""
    return document(
        {
            "_class_name": "UNet2DConditionModel",
            "act_fn": "silu",
            "attention_head_dim": 8,
            "block_out_channels": [320, 640],
            "center_input_sample": False,
            "cross_attention_dim": 768,
            "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
            "layers_per_block": 2,
            "in_channels": 4,
            "out_channels": 4,
            "norm_num_groups": 32,
            "sample_size": 64,
        }
    )


def clip_config() -> bytes:
    """The configuration of CLIP's text encoder."""
    return document(
        {
            "architectures": ["CLIPTextModel"],
            "model_type": "clip_text_model",
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_attention_heads": 12,
            "num_hidden_layers": 12,
            "max_position_embeddings": 77,
            "vocab_size": 49408,
            "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-05,
            "bos_token_id": 0,
            "eos_token_id": 2,
        }
    )


def read_unet_config(file: Path) -> object:
    """Read a U-Net's config.json."""
    from mobile_diffusion.formats.json_options import JsonOptions
    from mobile_diffusion.formats.unet_json import read_unet
    from mobile_diffusion.strict_json import read_object

    return read_unet(JsonOptions(file, read_object(file)))


def read_with(module: str, name: str, *more: Any) -> Read:
    """The reader of a module, which is imported when it is used."""

    def read(path: Path) -> object:
        return getattr(import_module(module), name)(path, *more)

    return read


def read_text_with(module: str, name: str, *more: Any) -> Read:
    """The same for a reader of text; a text that is no UTF-8 comes as the command line gives it."""

    def read(path: Path) -> object:
        return getattr(import_module(module), name)(path.read_bytes().decode("utf-8", "surrogateescape"), *more)

    return read


def open_clip_tokenizer(file: Path) -> object:
    """Open CLIP's tokenizer and encode a prompt."""
    from mobile_diffusion.tokenization.tokenizer import open_tokenizer

    return open_tokenizer("clip-bpe", file, 77).encode("a red apple")


def read_training(file: Path) -> object:
    """Read the settings of a U-Net's training."""
    from mobile_diffusion.recipes.unet import UNetSettings
    from mobile_diffusion.training.settings import read_settings

    return read_settings(file, UNetSettings)


CLIP = ClipTextConfig()
TARGETS: Mapping[str, Target] = {
    each.name: each
    for each in (
        Target(
            "manifest",
            "manifest.json",
            bundle_files,
            read_with("export.bundle.manifest", "read_manifest"),
            in_folder=True,
        ),
        one(
            "model",
            "model.json",
            (EMOJI / "model.json").read_bytes,
            read_with("mobile_diffusion.formats.native", "read_config"),
            in_folder=True,
        ),
        one(
            "scheduler",
            "scheduler_config.json",
            scheduler,
            read_with("mobile_diffusion.formats.scheduler", "read_schedule_file"),
        ),
        one("unet", "config.json", unet, read_unet_config),
        one(
            "clip-config",
            "config.json",
            clip_config,
            read_with("mobile_diffusion.formats.text_config", "read_text_config"),
        ),
        one("tokenizer", "tokenizer.json", (GOLDEN / "tokenizers" / "added.json").read_bytes, open_clip_tokenizer),
        Target(
            "vocabulary",
            "vocab.json",
            words,
            read_with("mobile_diffusion.tokenization.tokenizer_folder", "read_tokenizer_folder"),
            in_folder=True,
        ),
        Target(
            "merges",
            "merges.txt",
            words,
            read_with("mobile_diffusion.tokenization.tokenizer_folder", "read_tokenizer_folder"),
            in_folder=True,
        ),
        Target(
            "special-tokens",
            "tokenizer_config.json",
            words,
            read_with("mobile_diffusion.tokenization.tokenizer_folder", "read_tokenizer_folder"),
            in_folder=True,
        ),
        one("lora", "lora.safetensors", lora, read_with("mobile_diffusion.formats.lora_file", "read_lora_file")),
        one(
            "embedding",
            "word.safetensors",
            lambda: safetensors({"emb_params": np.ones((2, CLIP.width), np.float32)}),
            read_with("mobile_diffusion.formats.embeddings", "read_embedding", CLIP),
        ),
        one("png", "picture.png", picture("PNG"), read_with("mobile_diffusion.picture_file", "open_picture")),
        one("jpeg", "picture.jpg", picture("JPEG"), read_with("mobile_diffusion.picture_file", "open_picture")),
        one("gif", "picture.gif", picture("GIF"), read_with("mobile_diffusion.picture_file", "open_picture")),
        one("webp", "picture.webp", picture("WEBP"), read_with("mobile_diffusion.picture_file", "open_picture")),
        one("tiff", "picture.tiff", picture("TIFF"), read_with("mobile_diffusion.picture_file", "open_picture")),
        one("training", "unet.toml", (EMOJI / "training" / "unet.toml").read_bytes, read_training),
        one(
            "calibration",
            "prompts.txt",
            lambda: b"a red apple\na blue car\na cat\n",
            read_with("export.job.calibration", "read_prompts"),
        ),
        one(
            "a1111",
            "prompt.txt",
            lambda: b"a ((red:1.2) [apple:0.5]), (cat:1.1)",
            read_text_with("mobile_diffusion.prompts.a1111", "parse_a1111"),
        ),
        one(
            "compel",
            "prompt.txt",
            lambda: b'a (red)1.2 apple++, ("a cat"--)',
            read_text_with("mobile_diffusion.prompts.compel", "parse_compel"),
        ),
        one("size", "size.txt", lambda: b"512x768", read_text_with("mobile_diffusion.cli.opening", "parse_size")),
        one(
            "interval",
            "interval.txt",
            lambda: b"0.2,0.8",
            read_text_with("mobile_diffusion.cli.opening", "parse_interval"),
        ),
        one("range", "range.txt", lambda: b"bytes=10-20", read_text_with("export.serving.ranges", "chosen_range", 100)),
    )
}
