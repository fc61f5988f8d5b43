"""The text encoders of a single file: which family it is of, their tensors under our names, and their tokenizers.

A family is recognised by the prefix of its text encoders.  Such files contain no tokenizer, so CLIP's vocabulary is
part of this package.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken

from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.config import ClipPairConfig, ScheduleConfig, TextConfig
from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.compvis_config import HEADS, OPEN_CLIP_LAYERS, Shapes, read_clip, read_open_clip
from mobile_diffusion.formats.compvis_names import clip_names, open_clip_names
from mobile_diffusion.formats.refused_families import WHOLE
from mobile_diffusion.formats.renaming import renamed
from mobile_diffusion.formats.text_folders import pair_layout
from mobile_diffusion.formats.unet_json import REFINER
from mobile_diffusion.tensor_layout import Layout, Shape, Stored
from mobile_diffusion.tokenization.clip_pair import ClipPairTokenizer
from mobile_diffusion.tokenization.clip_tokenizer import ClipTokenizer, define
from mobile_diffusion.tokenization.tokenizer import Tokenizer
from mobile_diffusion.tokenization.tokenizer_folder import read_tokenizer_folder
from mobile_diffusion.xl_presets import SDXL_SCHEDULE

VOCABULARY = Path(__file__).parents[1] / "clip_vocabulary"
"""CLIP's tokenizer folder, with the padding of Stable Diffusion 1."""
OPEN_CLIP_PADDING = "!"
"""Padding token of OpenCLIP's encoders, id 0.  It is a special token, as in the tokenizer folders of diffusers."""
UNUSED = re.compile(r"(?:.*\.)?position_ids|logit_scale|attn_mask|loss\..*")
"""Tensors of a file that our networks do not use."""
UNUSED_BY_ONE = re.compile(
    rf"{UNUSED.pattern}|text_projection(?:\.weight)?|transformer\.resblocks\.{OPEN_CLIP_LAYERS}\..*"
)
"""The same for an encoder without pooled output; Stable Diffusion 2 also leaves out the last layer."""

CLIP = "cond_stage_model.transformer."
OPEN_CLIP = ("cond_stage_model.model.", "conditioner.embedders.0.model.")
"""OpenCLIP's text encoder, in files of latent diffusion and of generative-models (sd_turbo.safetensors)."""
PAIR = ("conditioner.embedders.0.transformer.", "conditioner.embedders.1.model.")
"""SDXL's CLIP and OpenCLIP."""
TEXT_PREFIXES = (CLIP, *OPEN_CLIP, *PAIR)
SIZES = "model.diffusion_model.label_emb.0.0.weight"
"""A tensor that only U-Nets of SDXL have."""

Headers = dict[str, tuple[Shape, str]]


@dataclass(frozen=True)
class SingleText:
    """The text encoders of a file, whose weights have not been read, and their tokenizer."""

    config: TextConfig
    layout: Layout
    tokenizer: str
    """Kind of tokenizer."""
    open_tokenizer: Callable[[Path | None], Tokenizer]
    """Takes the folder of the user's tokenizer; None for the packaged one."""


@dataclass(frozen=True)
class Family:
    """What single files of a family do not state."""

    read_text: Callable[[Path, Headers], SingleText]
    heads: int | None = None
    """Attention heads of the U-Net; None for heads of 64 channels."""
    prediction: str = ""
    """What the network predicts unless the file says so; empty when the user must say it."""
    sizes: tuple[int, int] = (512, 512)
    """Side of the pictures in pixels, and that of models that predict v."""
    scaling_factor: float = AutoencoderConfig.scaling_factor
    layers: tuple[str, ...] = ("last", "hidden")
    """Layers of the text encoder that a configuration may state; "hidden" is the last one, as in diffusers."""
    schedule: ScheduleConfig = dataclasses.field(default_factory=ScheduleConfig)


def find_family(file: Path, headers: Headers) -> Family:
    """The family of a file; raise CheckpointError for SDXL's refiner, and for encoders that do not belong together."""
    found = tuple(prefix for prefix in TEXT_PREFIXES if any(name.startswith(prefix) for name in headers))
    if SIZES in headers and found == OPEN_CLIP[1:]:
        raise CheckpointError(f"{file}: {REFINER}")
    if SIZES in headers and found != PAIR:
        missing = " and ".join(f"{prefix}*" for prefix in PAIR if prefix not in found) or "another one"
        raise CheckpointError(f"{file}: expected the two text encoders of SDXL, got a file without {missing}; {WHOLE}")
    if found not in FAMILIES:
        wanted = "two text encoders of SDXL and its U-Net" if set(found) & set(PAIR) else "one text encoder"
        raise CheckpointError(f"{file}: expected {wanted}, got {' and '.join(found)}; {WHOLE}")
    if found == PAIR and SIZES not in headers:
        raise CheckpointError(f"{file}: expected SDXL's U-Net, as its text encoders, got one without {SIZES}; {WHOLE}")
    return FAMILIES[found]


def read_part(file: Path, headers: Headers, prefix: str, unused: re.Pattern[str] = UNUSED) -> Layout:
    """The layout of one network, with the prefix removed from the names; unused tensors are left out."""
    layout: Layout = {}
    for name, (shape, dtype) in headers.items():
        rest = name.removeprefix(prefix)
        if rest != name and not unused.fullmatch(rest):
            layout[rest] = Stored(file, name, shape, dtype)
    return layout


def shapes_of(file: Path, layout: Layout) -> Shapes:
    """The names and shapes of a layout."""
    return Shapes(file, {name: stored.shape for name, stored in layout.items()})


def _read_clip(file: Path, headers: Headers) -> SingleText:
    layout = renamed(file, read_part(file, headers, CLIP, UNUSED_BY_ONE), clip_names())
    config = read_clip(shapes_of(file, layout))
    return SingleText(config, layout, "clip-bpe", lambda folder: _open_first(folder, config.max_tokens))


def _read_open_clip(prefix: str) -> Callable[[Path, Headers], SingleText]:
    def read(file: Path, headers: Headers) -> SingleText:
        layout = read_part(file, headers, prefix, UNUSED_BY_ONE)
        config = read_open_clip(shapes_of(file, layout), OPEN_CLIP_LAYERS)
        ours = renamed(file, layout, open_clip_names(config))
        return SingleText(
            config,
            ours,
            "clip-bpe",
            lambda folder: _open_second(folder, config.max_tokens, of_model=folder is not None),
        )

    return read


def _read_pair(file: Path, headers: Headers) -> SingleText:
    first = renamed(file, read_part(file, headers, PAIR[0], UNUSED_BY_ONE), clip_names())
    second = read_part(file, headers, PAIR[1])
    shapes = shapes_of(file, second)
    text = read_open_clip(shapes)
    config = ClipPairConfig(read_clip(shapes_of(file, first)), text, shapes.size("text_projection", 1))
    layout = pair_layout(first, renamed(file, second, open_clip_names(text)))
    length = config.max_tokens
    return SingleText(
        config,
        layout,
        "clip-bpe-pair",
        lambda folder: ClipPairTokenizer(_open_first(folder, length), _open_second(folder, length)),
    )


def _open_first(folder: Path | None, max_tokens: int) -> ClipTokenizer:
    """The tokenizer in `folder`, or CLIP's with the padding of Stable Diffusion 1."""
    return ClipTokenizer.from_folder(folder or VOCABULARY, max_tokens)


def _open_second(folder: Path | None, max_tokens: int, of_model: bool = False) -> ClipTokenizer:
    """The same, padded as OpenCLIP's prompts, unless the folder is `of_model` and has its own padding."""
    if of_model:
        return _open_first(folder, max_tokens)
    files = read_tokenizer_folder(folder or VOCABULARY)
    added = (*files.special.added, AddedToken(OPEN_CLIP_PADDING, special=True))
    special = dataclasses.replace(files.special, padding=OPEN_CLIP_PADDING, added=added)
    return ClipTokenizer(define(dataclasses.replace(files, special=special)), max_tokens)


_SD2 = [Family(_read_open_clip(prefix), sizes=(512, 768), layers=("penultimate",)) for prefix in OPEN_CLIP]
FAMILIES: dict[tuple[str, ...], Family] = {
    (CLIP,): Family(_read_clip, heads=HEADS, prediction="epsilon"),
    (OPEN_CLIP[0],): _SD2[0],
    (OPEN_CLIP[1],): _SD2[1],
    PAIR: Family(
        _read_pair,
        prediction="epsilon",
        sizes=(1024, 1024),
        scaling_factor=0.13025,
        schedule=SDXL_SCHEDULE,
    ),
}
"""Prefixes of the text encoders that a file has -> its family: Stable Diffusion 1, 2 and XL."""
