"""The parameters of every command that opens a checkpoint, stated once.

A command takes `checkpoint: Checkpoint` and `opening: Opening`, which becomes one option per field.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from mobile_diffusion.config import GUIDANCE_KINDS, PREDICTIONS, SOLVERS, SPACINGS
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.quoting import quoted
from mobile_diffusion.shipped import shipped_model

PANEL = "Opening the checkpoint"


Checkpoint = Annotated[
    str | None,
    typer.Argument(
        help="Checkpoint: a folder, a .safetensors file, or a hub id such as owner/name. Default: the emoji model."
    ),
]

Model = Annotated[str | None, typer.Option(help="Checkpoint: folder, file or hub id. Default: the emoji model.")]


def checkpoint_or_emoji(checkpoint: str | None) -> str | Path:
    """What to open: the checkpoint that was named, or the emoji model."""
    return shipped_model() if checkpoint is None else checkpoint


def _option(help: str, *names: str) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=PANEL)


@dataclass(frozen=True)
class Opening:
    """What a user may change about a checkpoint, as the command line spells it."""

    size: Annotated[str | None, _option("Size of the picture in pixels: 512, or WIDTHxHEIGHT such as 768x512.")] = None
    steps: Annotated[int | None, _option("Sampling steps. Default: the checkpoint's own.")] = None
    solver: Annotated[
        str | None, _option(f"Solver: {', '.join(SOLVERS)}. Default: what the checkpoint's scheduler says.")
    ] = None
    spacing: Annotated[str | None, _option(f"Spacing of the timesteps: {', '.join(SPACINGS)}.")] = None
    guidance: Annotated[
        float | None, _option("Guidance scale, up to 30; 1 or less is none. Default: the model's own.")
    ] = None
    eta: Annotated[float | None, _option("Fresh noise at each step, 0 to 1, for the solvers ddim and tcd.")] = None
    guidance_kind: Annotated[str | None, _option(f"Evaluations per step, two or one: {', '.join(GUIDANCE_KINDS)}.")] = (
        None
    )
    guidance_interval: Annotated[
        str | None,
        _option("Guide a part of the steps only, the others in one evaluation: 0,0.5 for the first half."),
    ] = None
    guidance_shares: Annotated[
        str | None, _option("Share of the guidance at each step, 0 to 1, such as 1,1,0.5,0.")
    ] = None
    prediction: Annotated[
        str | None, _option(f"What the network predicts, if no file says so: {', '.join(PREDICTIONS)}.")
    ] = None
    lora: Annotated[
        list[str], _option("LoRA file to merge, with its scale: style.safetensors:0.8. May be repeated.")
    ] = field(default_factory=list)
    embedding: Annotated[list[Path], _option("Textual inversion file. May be repeated.")] = field(default_factory=list)
    decoder: Annotated[Path | None, _option("Tiny autoencoder that replaces the checkpoint's: a diffusers folder.")] = (
        None
    )
    vae: Annotated[
        Path | None, _option("VAE that replaces the checkpoint's: a diffusers folder, or a .safetensors file.")
    ] = None
    controlnet: Annotated[
        list[Path],
        _option("ControlNet or T2I-Adapter that reads a hint picture: diffusers folder, or its file. May be repeated."),
    ] = field(default_factory=list)
    adapter: Annotated[
        list[str],
        _option("LoRA file that drawings turn on and off, with a name for it: ink=ink.safetensors. May be repeated."),
    ] = field(default_factory=list)
    tokenizer: Annotated[
        Path | None, _option("Folder of the tokenizer, for a checkpoint that has none (single files).")
    ] = None
    skip_layers: Annotated[
        int,
        _option(
            "Number of last layers of the text encoder to skip, as diffusers' clip_skip.",
            "--skip-layers",
            "--clip-skip",
        ),
    ] = 0
    windows: Annotated[
        int | None, _option("Windows that a long prompt may fill, of 77 tokens each for CLIP. Default: 1.")
    ] = None
    tile: Annotated[
        int | None,
        _option("Decode and encode pictures by overlapping tiles of so many pixels a side, in less memory. 0: whole."),
    ] = None
    variant: Annotated[str | None, _option("Variant of a diffusers folder's weights, such as fp16.")] = None

    def options(self) -> OpenOptions:
        """The same for `open_checkpoint`; raises `ConfigError` for a size or a LoRA that cannot be read."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        width, height = parse_size(values.pop("size"))
        loras = tuple(map(parse_lora, values.pop("lora")))
        embeddings, controlnets = tuple(values.pop("embedding")), tuple(values.pop("controlnet"))
        values["guidance_interval"] = parse_interval(values["guidance_interval"])
        values["guidance_shares"] = parse_numbers("--guidance-shares", values["guidance_shares"] or "")
        values["adapters"] = tuple(map(parse_adapter, values.pop("adapter")))
        values |= {"loras": loras, "embeddings": embeddings, "controlnets": controlnets}
        return OpenOptions(height=height, width=width, **values)


def parse_size(text: str | None) -> tuple[int | None, int | None]:
    """Width and height of "512" or "768x512"; two None for None."""
    if text is None:
        return None, None
    found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text, re.ASCII)
    if found is None:
        raise ConfigError(f"--size: expected 512, or WIDTHxHEIGHT such as 768x512, got {quoted(text)}")
    width = int(found[1])
    return width, int(found[2] or width)


def parse_lora(text: str) -> tuple[Path, float]:
    """File and scale of "style.safetensors:0.8"; the scale is 1 where none is given."""
    path, colon, scale = text.rpartition(":")
    if not colon or not re.fullmatch(r"[-+.\deE]+|nan|inf", scale):
        return Path(text), 1.0
    try:
        return Path(path), float(scale)
    except ValueError:
        raise ConfigError(f"--lora: expected FILE or FILE:SCALE, got {quoted(text)}") from None


def parse_adapter(text: str) -> tuple[str, Path]:
    """Name and file of "ink=ink.safetensors"."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise ConfigError(f"--adapter: expected NAME=FILE such as ink=ink.safetensors, got {quoted(text)}")
    return name, Path(path)


def parse_scales(texts: Sequence[str]) -> dict[str, float]:
    """Scales by name of "ink=0.7" and so on; raises ConfigError for another form, and for a name twice."""
    scales: dict[str, float] = {}
    for text in texts:
        name, equals, scale = text.partition("=")
        if name in scales:
            raise ConfigError(f"--adapter-scale: expected each name once, got {quoted(name)} twice")
        try:
            scales[name] = float(scale)
        except ValueError:
            equals = ""
        if not (name and equals):
            raise ConfigError(f"--adapter-scale: expected NAME=SCALE such as ink=0.7, got {quoted(text)}")
    return scales


def parse_interval(text: str | None) -> tuple[float, float] | None:
    """Start and end of "0,0.5"; None for None."""
    if text is None:
        return None
    found = parse_numbers("--guidance-interval", text)
    if len(found) != 2:
        raise ConfigError(f"--guidance-interval: expected START,END such as 0,0.5, got {quoted(text)}")
    return found[0], found[1]


def parse_numbers(option: str, text: str) -> tuple[float, ...]:
    """The numbers of "1,0.5,0"; () for an empty text."""
    try:
        return tuple(float(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise ConfigError(f"{option}: expected numbers with commas in between, got {quoted(text)}") from None
