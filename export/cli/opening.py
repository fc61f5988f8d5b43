"""The options that every command which opens a checkpoint has in common, stated once.

`opens_checkpoint` wraps a command whose parameter `options` is an `OpenOptions`: on the command line it becomes the
options below.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from mobile_diffusion.config import GUIDANCE_KINDS, PREDICTIONS, SOLVERS, SPACINGS
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.formats.open_options import OpenOptions

PANEL = "Opening the checkpoint"


@dataclass(frozen=True)
class Flag:
    """One option of the command line."""

    type: Any
    help: str
    default: Any = None


FLAGS: dict[str, Flag] = {
    "size": Flag(str | None, "Size of the picture: 512, or WIDTHxHEIGHT such as 768x512."),
    "steps": Flag(int | None, "Sampling steps; the checkpoint's own by default."),
    "solver": Flag(str | None, f"One of {', '.join(SOLVERS)}; by default what the checkpoint's scheduler says."),
    "spacing": Flag(str | None, f"Spacing of the timesteps: one of {', '.join(SPACINGS)}."),
    "guidance": Flag(float | None, "Guidance scale, 0 to 30; the model's own by default."),
    "guidance_kind": Flag(str | None, f"One of {', '.join(GUIDANCE_KINDS)}: two evaluations a step, or one."),
    "prediction": Flag(str | None, f"What the network predicts, if no file says it: one of {', '.join(PREDICTIONS)}."),
    "lora": Flag(list[str], "LoRA file to merge, and its scale: style.safetensors:0.8. May be repeated.", ()),
    "embedding": Flag(list[Path], "Textual inversion file. May be repeated.", ()),
    "decoder": Flag(Path | None, "Tiny autoencoder to use in place of the checkpoint's: a diffusers folder."),
    "tokenizer": Flag(Path | None, "Folder of the tokenizer, for a checkpoint that has none (single files)."),
    "skip_layers": Flag(int, "Last layers of the text encoder to leave out.", 0),
    "variant": Flag(str | None, "Variant of a diffusers folder's weights, such as fp16."),
}


def opens_checkpoint(command: Callable[..., None]) -> Callable[..., None]:
    """The command with FLAGS in place of its parameter `options`."""

    @functools.wraps(command)
    def wrapped(**given: Any) -> None:
        flags = {name: given.pop(name) for name in FLAGS}
        command(**given, options=open_options(**flags))

    own = [each for each in inspect.signature(command, eval_str=True).parameters.values() if each.name != "options"]
    flags = [_parameter(name, flag) for name, flag in FLAGS.items()]
    keyword = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    wrapped.__signature__ = inspect.Signature([*keyword, *flags])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {each.name: each.annotation for each in (*keyword, *flags)}
    del wrapped.__wrapped__
    return wrapped


def open_options(
    size: str | None,
    lora: list[str],
    embedding: list[Path],
    **others: Any,
) -> OpenOptions:
    """The values of FLAGS as `OpenOptions`; raises `ConfigError` for a size or LoRA that cannot be read."""
    width, height = parse_size(size)
    loras = tuple(map(parse_lora, lora))
    return OpenOptions(height=height, width=width, loras=loras, embeddings=tuple(embedding), **others)


def parse_size(text: str | None) -> tuple[int | None, int | None]:
    """Width and height of "512" or "768x512"; two None for None."""
    if text is None:
        return None, None
    found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text, re.ASCII)
    if found is None:
        raise ConfigError(f"--size: expected 512, or WIDTHxHEIGHT such as 768x512, got {text!r}")
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
        raise ConfigError(f"--lora: expected FILE or FILE:SCALE, got {text!r}") from None


def _parameter(name: str, flag: Flag) -> inspect.Parameter:
    option = typer.Option(f"--{name.replace('_', '-')}", help=flag.help, rich_help_panel=PANEL)
    annotation = Annotated.__class_getitem__((flag.type, option))  # type: ignore[attr-defined]
    default = list(flag.default) if isinstance(flag.default, tuple) else flag.default
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
