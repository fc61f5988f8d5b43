"""Opens checkpoints of every format, and writes our own: a folder of model.json, three safetensors files and
tokenizer.json.

Everything is checked before a weight is read, pickles are never opened, and a checkpoint that is written appears
whole or not at all.  The formats themselves are read in formats/.
"""

from __future__ import annotations

import functools
import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from torch import nn

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.config_json import to_dict
from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.changes import apply
from mobile_diffusion.formats.checkpoint_files import PARTS, CheckpointFiles, builders, check_source, hash_source
from mobile_diffusion.formats.native import FILES, FORMAT, MODEL_FILE, read_config
from mobile_diffusion.formats.native import TOKENIZER_FILE as TOKENIZER_FILE
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.formats.read_any import read_source
from mobile_diffusion.staging import staged_folder
from mobile_diffusion.tensor_layout import expected_shapes, load_layout
from mobile_diffusion.text_encoder import BertEncoder, ClipTextEncoder
from mobile_diffusion.tiny_autoencoder import TinyAutoencoder
from mobile_diffusion.tokenization.tokenizer import Tokenizer
from mobile_diffusion.unet import UNet
from mobile_diffusion.weights import save_weights

BYTES_PER_WEIGHT = 2
"""On disk."""


@dataclass(frozen=True, eq=False)
class Model:
    """A model in memory, in evaluation mode: everything that drawing and exporting need."""

    config: ModelConfig
    tokenizer: Tokenizer
    text_encoder: BertEncoder | ClipTextEncoder
    unet: UNet
    autoencoder: Autoencoder | TinyAutoencoder
    source_hash: str = ""
    """SHA-256 of the checkpoint it was opened from; empty for a model that was built in memory."""
    path: Path | None = None
    """Where it was opened from."""
    changes: tuple[str, ...] = ()
    """What options changed about the checkpoint, in words."""

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The networks by the name of their file."""
        return {"unet": self.unet, "autoencoder": self.autoencoder, "text_encoder": self.text_encoder}

    def load_part(self, part: str) -> nn.Module:
        """The network of that name, as a `Checkpoint` would load it."""
        return self.parts[part]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint whose headers have been checked and whose weights are read part by part, when asked for.

    Exporting takes it or a `Model`; with a `Checkpoint` no more than one network is in memory.
    """

    source: CheckpointFiles
    tokenizer: Tokenizer
    request: Path | str
    """What `open_source` was given, with `options`: another process opens the same."""
    options: OpenOptions

    @property
    def config(self) -> ModelConfig:
        """What the model is, options applied."""
        return self.source.config

    @property
    def path(self) -> Path:
        """Where it was opened from."""
        return self.source.path

    @property
    def changes(self) -> tuple[str, ...]:
        """What options changed about the checkpoint, in words."""
        return self.source.variations

    @functools.cached_property
    def source_hash(self) -> str:
        """SHA-256 of the files that make the model and of what options did to them."""
        return hash_source(self.source)

    def load_part(self, part: str) -> nn.Module:
        """Read one of "unet", "autoencoder", "text_encoder" anew: float32, in evaluation mode, adapters applied.

        Raises CheckpointError when a file has been damaged or a weight is NaN or inf.
        """
        changes = [functools.partial(adapter, part) for adapter in self.source.adapters]
        return load_layout(builders(self.config)[part], self.source.layouts[part], changes)

    def load(self) -> Model:
        """The whole model in memory; raises CheckpointError as `load_part` does."""
        parts = {part: self.load_part(part) for part in self.source.layouts}
        origin = {"source_hash": self.source_hash, "path": self.path, "changes": self.changes}
        return Model(self.config, self.tokenizer, **parts, **origin)  # type: ignore[arg-type]


AnyModel = Model | Checkpoint
"""What can be exported: a model in memory, or a checkpoint whose networks are loaded one at a time."""


def untrained_model(config: ModelConfig, tokenizer: Tokenizer) -> Model:
    """A model with fresh random weights, drawn from torch's global generator."""
    parts = {name: build().eval() for name, build in builders(config).items()}
    return Model(config, tokenizer, **parts)  # type: ignore[arg-type]


def open_source(path: Path | str, options: OpenOptions | None = None) -> Checkpoint:
    """Open a checkpoint without reading its weights.

    `path` is a diffusers folder, a single .safetensors file, a folder of our own, or the id "owner/name" of a
    model on the hub.  Raises CheckpointError or ConfigError when it is none of these, is damaged, does not fit its
    configuration, is a pickle or of a family that is not supported, or when an option cannot be applied.
    """
    options = options or OpenOptions()
    source = read_source(path, options)
    check_source(source)
    source = apply(options, source)
    return Checkpoint(source, source.open_tokenizer(), path, options)


def open_checkpoint(path: Path | str, options: OpenOptions | None = None) -> Model:
    """Open a checkpoint and read its weights; raises CheckpointError as `open_source` does.

    >>> from mobile_diffusion import OpenOptions, open_checkpoint, shipped_model
    >>> model = open_checkpoint(shipped_model(), OpenOptions(steps=4))
    >>> model.config.name, model.config.schedule.steps
    ('emoji', 4)
    """
    return open_source(path, options).load()


def source_hash(path: Path | str) -> str:
    """The `source_hash` of a checkpoint as it is opened without options."""
    return open_source(path).source_hash


def save_checkpoint(model: Model | Checkpoint, path: Path | str, overwrite: bool = False) -> None:
    """Write a checkpoint folder, whole or not at all; a `Checkpoint` of another format is converted part by part.

    With `overwrite` an existing checkpoint is replaced; files in it that are not ours are kept.  Raises
    CheckpointError when `path` exists otherwise, cannot be written or has too little room, or a weight does not
    fit float16.

    >>> from mobile_diffusion import open_checkpoint, save_checkpoint, shipped_model
    >>> save_checkpoint(open_checkpoint(shipped_model()), "copy")
    >>> open_checkpoint("copy").config == open_checkpoint(shipped_model()).config
    True
    """
    path = Path(path).resolve()
    try:
        with staged_folder(path, _check_checkpoint if overwrite else None, CheckpointError) as folder:
            _check_room(model.config, folder)
            for part in PARTS:
                save_weights(model.load_part(part), folder / f"{part}.safetensors")
            model.tokenizer.save(folder / TOKENIZER_FILE)
            text = json.dumps({"format": FORMAT, **to_dict(model.config)}, indent=2, allow_nan=False)
            (folder / MODEL_FILE).write_text(text + "\n", encoding="utf-8")
            if path.exists():
                _keep_foreign_files(path, folder)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: expected to write the checkpoint, got: {error}; make room or choose another folder"
        ) from error


def _check_checkpoint(path: Path) -> None:
    """Raise CheckpointError unless there is a checkpoint at `path`."""
    try:
        read_config(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: expected a checkpoint to overwrite, got something else") from error


def _check_room(config: ModelConfig, folder: Path) -> None:
    """Raise CheckpointError unless the disk has room for the weights in float16."""
    shapes = [expected_shapes(build, folder) for build in builders(config).values()]
    needed = BYTES_PER_WEIGHT * sum(math.prod(shape) for part in shapes for shape in part.values())
    free = shutil.disk_usage(folder).free
    if needed > free:
        wanted, got = f"{needed / 1e9:.2f} GB", f"{free / 1e9:.2f} GB"
        raise CheckpointError(f"{folder.parent}: expected {wanted} of free disk, got {got}; make room")


def _keep_foreign_files(source: Path, target: Path) -> None:
    """Copy what a checkpoint folder holds beside our own files, such as a licence."""
    for entry in source.iterdir():
        if entry.name in FILES:
            continue
        if entry.is_dir():
            shutil.copytree(entry, target / entry.name, symlinks=True)
        else:
            shutil.copy2(entry, target / entry.name, follow_symlinks=False)
