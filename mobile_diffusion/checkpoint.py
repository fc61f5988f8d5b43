"""Opens checkpoints of every supported format, and saves our own format.

Our own format is a folder with model.json, three safetensors files and tokenizer.json.  Everything is checked before
a weight is read, and pickles are never opened.  Saving is atomic.  The readers of the formats are in formats/.
"""

from __future__ import annotations

import functools
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from torch import nn

from mobile_diffusion.adapters import Adapters
from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.changes import apply
from mobile_diffusion.formats.checkpoint_files import PARTS, CheckpointFiles, builders, check_source, hash_source
from mobile_diffusion.formats.native import FILES, read_config, write_config
from mobile_diffusion.formats.native import TOKENIZER_FILE as TOKENIZER_FILE
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.formats.read_any import read_source
from mobile_diffusion.hint_nets import HintNets
from mobile_diffusion.staging import staged_folder
from mobile_diffusion.tensor_layout import expected_shapes, load_layout
from mobile_diffusion.text_encoder import TextEncoder
from mobile_diffusion.tiny_autoencoder import TinyAutoencoder
from mobile_diffusion.tokenization.tokenizer import Tokenizer
from mobile_diffusion.unet import UNet
from mobile_diffusion.weights import save_weights

BYTES_PER_WEIGHT = 2
"""Size of a saved weight, float16."""


@dataclass(frozen=True, eq=False)
class Model:
    """A model in memory, in evaluation mode, with everything that drawing and exporting need."""

    config: ModelConfig
    tokenizer: Tokenizer
    text_encoder: TextEncoder
    unet: UNet
    autoencoder: Autoencoder | TinyAutoencoder
    controls: HintNets | None = None
    """ControlNets or T2I-Adapters; None for a model without."""
    adapters: Adapters | None = None
    """None for a model without adapters that a drawing turns on and off."""
    source_hash: str = ""
    """SHA-256 of the checkpoint that it was opened from; empty for a model that was built in memory."""
    path: Path | None = None
    """Path of the checkpoint; None for a model that was built in memory."""
    changes: tuple[str, ...] = ()
    """Descriptions of what options changed in the checkpoint."""

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The networks under the names "unet", "autoencoder", "text_encoder" and, if there are any, "controls"."""
        controls = {} if self.controls is None else {"controls": self.controls}
        return {"unet": self.unet, "autoencoder": self.autoencoder, "text_encoder": self.text_encoder, **controls}

    def load_part(self, part: str) -> nn.Module:
        """Return one of `parts`; the counterpart of `Checkpoint.load_part`."""
        return self.parts[part]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A checkpoint whose headers have been checked; each network's weights are read on request.

    Exporting takes a `Checkpoint` or a `Model`; with a `Checkpoint`, at most one network is in memory at a time.
    """

    source: CheckpointFiles
    tokenizer: Tokenizer
    request: Path | str
    """The path or hub id that `open_source` took; with `options`, another process can open the same checkpoint."""
    options: OpenOptions

    @property
    def config(self) -> ModelConfig:
        """The model's configuration with the options applied."""
        return self.source.config

    @property
    def path(self) -> Path:
        """Path of the folder or file; for a model on the hub, of its cached folder."""
        return self.source.path

    @property
    def changes(self) -> tuple[str, ...]:
        """Descriptions of what options changed in the checkpoint."""
        return self.source.variations

    @functools.cached_property
    def source_hash(self) -> str:
        """SHA-256 of the model's files and of the changes that options made to its weights."""
        return hash_source(self.source)

    @functools.cached_property
    def adapters(self) -> Adapters | None:
        """The adapters that a drawing turns on and off; raises CheckpointError for a damaged file."""
        room = self.config.adapters
        if room is None:
            return None
        return Adapters(room.names, tuple(read(room) for read in self.source.read_factors), len(room.names))

    def load_part(self, part: str) -> nn.Module:
        """Read a network, by its name in `Model.parts`, from disk: float32, evaluation mode, LoRAs merged.

        Raises CheckpointError when a file is damaged or a weight is NaN or inf.
        """
        changes = [functools.partial(adapter, part) for adapter in self.source.adapters]
        return load_layout(builders(self.config)[part], self.source.layouts[part], changes)

    def load(self) -> Model:
        """Read the whole model; raise CheckpointError as `load_part` does."""
        parts = {part: self.load_part(part) for part in self.source.layouts}
        origin = {"source_hash": self.source_hash, "path": self.path, "changes": self.changes}
        return Model(self.config, self.tokenizer, **parts, adapters=self.adapters, **origin)  # type: ignore[arg-type]


AnyModel = Model | Checkpoint
"""What can be exported: a model in memory, or a checkpoint that loads one network at a time."""


def untrained_model(config: ModelConfig, tokenizer: Tokenizer) -> Model:
    """Build a model with fresh random weights from torch's global generator."""
    parts = {name: build().eval() for name, build in builders(config).items()}
    return Model(config, tokenizer, **parts)  # type: ignore[arg-type]


def open_source(path: Path | str, options: OpenOptions | None = None) -> Checkpoint:
    """Open a checkpoint without reading its weights.

    `path` is a diffusers folder, a single .safetensors file, a folder of our own format, or the id "owner/name" of a
    model on the hub.  Raises CheckpointError when it is none of these, is damaged, is a pickle, does not fit its
    configuration, or is of a family that is not supported.  Raises ConfigError when an option cannot be applied.
    """
    options = options or OpenOptions()
    source = read_source(path, options)
    check_source(source)
    source = apply(options, source)
    return Checkpoint(source, source.open_tokenizer(), path, options)


def open_checkpoint(path: Path | str, options: OpenOptions | None = None) -> Model:
    """Open a checkpoint and read its weights as float32.

    `path` is a diffusers folder, a single .safetensors file, a folder of our own format, or the id "owner/name" of a
    model on the hub.  Raises CheckpointError and ConfigError as `open_source` does, and CheckpointError when a weight
    is NaN or inf.

    >>> from mobile_diffusion import OpenOptions, open_checkpoint, shipped_model
    >>> model = open_checkpoint(shipped_model(), OpenOptions(steps=4))
    >>> model.config.name, model.config.schedule.steps
    ('emoji', 4)
    """
    return open_source(path, options).load()


def source_hash(path: Path | str) -> str:
    """The `source_hash` of a checkpoint that is opened without options."""
    return open_source(path).source_hash


def save_checkpoint(model: Model | Checkpoint, path: Path | str, overwrite: bool = False) -> None:
    """Write a checkpoint folder of our own format with float16 weights, atomically.

    A `Checkpoint` of another format is converted one network at a time.  With `overwrite` an existing checkpoint is
    replaced, and its other files, such as a licence, are kept.  Raises CheckpointError when `path` exists and is not
    to be replaced, when it cannot be written, when the disk is full, when a weight does not fit float16, and for a
    model with ControlNets or adapters, which the format does not have.

    >>> from mobile_diffusion import open_checkpoint, save_checkpoint, shipped_model
    >>> save_checkpoint(open_checkpoint(shipped_model()), "copy")
    >>> open_checkpoint("copy").config == open_checkpoint(shipped_model()).config
    True
    """
    path = Path(path).resolve()
    if model.config.adapters is not None:
        raise CheckpointError(f"{path}: expected a model without adapters, got one with them; save it without")
    if model.config.controls:
        raise CheckpointError(f"{path}: expected a model without ControlNets, got one with them; save it without")
    try:
        with staged_folder(path, _check_checkpoint if overwrite else None, CheckpointError) as folder:
            _check_room(model.config, folder)
            for part in PARTS:
                save_weights(model.load_part(part), folder / f"{part}.safetensors")
            model.tokenizer.save(folder / TOKENIZER_FILE)
            write_config(model.config, folder)
            if path.exists():
                _keep_foreign_files(path, folder)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: expected to write the checkpoint, got: {error}; make room or choose another folder"
        ) from error


def _check_checkpoint(path: Path) -> None:
    """Raise CheckpointError unless `path` is a checkpoint of our own format."""
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
    """Copy the files of a checkpoint folder that are not part of our format, such as a licence."""
    for entry in source.iterdir():
        if entry.name in FILES:
            continue
        if entry.is_dir():
            shutil.copytree(entry, target / entry.name, symlinks=True)
        else:
            shutil.copy2(entry, target / entry.name, follow_symlinks=False)
