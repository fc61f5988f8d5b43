"""Opens and writes checkpoints: a folder of model.json, three safetensors files and tokenizer.json.

Everything is checked before a weight is read (weights.py), pickles are never opened, and a checkpoint appears
whole or not at all.  Names of tensors are those of diffusers and transformers; no other layout is read here.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import nn

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.config import ModelConfig, from_dict, to_dict
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.text_encoder import BertEncoder, ClipTextEncoder, build_text_encoder
from mobile_diffusion.tokenizer import Tokenizer, WordPieceTokenizer
from mobile_diffusion.unet import UNet
from mobile_diffusion.weights import Build, check_weights, load_weights, refuse_pickle, save_weights

FORMAT = 1
"""Version of the folder's layout, the "format" of model.json."""
MODEL_FILE = "model.json"
TOKENIZER_FILE = "tokenizer.json"
PARTS = ("unet", "autoencoder", "text_encoder")
TOKENIZERS: dict[str, Callable[[Path, int], Tokenizer]] = {"wordpiece": WordPieceTokenizer.from_file}


@dataclass(frozen=True, eq=False)
class Model:
    """A model in memory, in evaluation mode: everything that drawing and exporting need."""

    config: ModelConfig
    tokenizer: Tokenizer
    text_encoder: BertEncoder | ClipTextEncoder
    unet: UNet
    autoencoder: Autoencoder
    source_hash: str = ""
    """SHA-256 of the checkpoint it was opened from; empty for a model that was built in memory."""
    path: Path | None = None
    """Where it was opened from."""

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The networks by the name of their file."""
        return {"unet": self.unet, "autoencoder": self.autoencoder, "text_encoder": self.text_encoder}


def untrained_model(config: ModelConfig, tokenizer: Tokenizer) -> Model:
    """A model with fresh random weights, drawn from torch's global generator."""
    parts = {name: build().eval() for name, build in _builders(config).items()}
    return Model(config, tokenizer, **parts)  # type: ignore[arg-type]


def open_checkpoint(path: Path | str) -> Model:
    """Open a checkpoint folder.

    Raises CheckpointError when it is not one, is damaged, does not fit its model.json or is a pickle.
    """
    path = Path(path)
    config = read_config(path)
    files = {name: path / f"{name}.safetensors" for name in PARTS}
    builders = _builders(config)
    for name, file in files.items():
        check_weights(builders[name], file)
    tokenizer = _open_tokenizer(config, path / TOKENIZER_FILE)
    parts = {name: load_weights(builders[name], file) for name, file in files.items()}
    return Model(config, tokenizer, **parts, source_hash=source_hash(path), path=path)  # type: ignore[arg-type]


def save_checkpoint(model: Model, path: Path | str, overwrite: bool = False) -> None:
    """Write a checkpoint folder, whole or not at all.

    With `overwrite` an existing checkpoint is replaced; files in it that are not ours are kept.  Raises
    CheckpointError when `path` exists otherwise, cannot be written, or a weight does not fit float16.
    """
    path = Path(path).resolve()
    _check_target(path, overwrite)
    try:
        with _staged(path) as folder:
            for name, module in model.parts.items():
                save_weights(module, folder / f"{name}.safetensors")
            model.tokenizer.save(folder / TOKENIZER_FILE)
            text = json.dumps({"format": FORMAT, **to_dict(model.config)}, indent=2, allow_nan=False)
            (folder / MODEL_FILE).write_text(text + "\n", encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: expected to write the checkpoint, got: {error}; make room or choose another folder"
        ) from error


def read_config(path: Path) -> ModelConfig:
    """The configuration in a checkpoint folder's model.json; raises CheckpointError when it is not one."""
    file = path / MODEL_FILE
    try:
        _check_folder(path)
        values = _strict_json(file.read_bytes())
        if not isinstance(values, dict) or type(values.get("format")) is not int:
            raise CheckpointError(f'{file}: expected an object with a whole number "format"; it is not ours')
        if values["format"] != FORMAT:
            raise CheckpointError(
                f"{file}: expected format {FORMAT}, got {values['format']}; update mobile-diffusion"
            )
        return from_dict(ModelConfig, {name: value for name, value in values.items() if name != "format"})
    except (OSError, ValueError, RecursionError, ConfigError) as error:
        raise CheckpointError(f"{file}: expected a model's configuration, got: {error}") from error


def source_hash(path: Path) -> str:
    """SHA-256 over the names, sizes and bytes of the checkpoint's own files, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(_own_files()):
        file = path / name
        digest.update(f"{name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _own_files() -> tuple[str, ...]:
    return (MODEL_FILE, TOKENIZER_FILE, *(f"{name}.safetensors" for name in PARTS))


def _builders(config: ModelConfig) -> dict[str, Build]:
    """How to build each network, by the name of its file."""
    return {
        "unet": lambda: UNet(config.unet),
        "autoencoder": lambda: Autoencoder(config.autoencoder),
        "text_encoder": lambda: build_text_encoder(config.text),
    }


def _open_tokenizer(config: ModelConfig, file: Path) -> Tokenizer:
    if config.tokenizer not in TOKENIZERS:
        known = ", ".join(TOKENIZERS)
        raise CheckpointError(f"{file}: expected a tokenizer of kind {known}, got {config.tokenizer}")
    return TOKENIZERS[config.tokenizer](file, config.text.max_tokens)


def _check_folder(path: Path) -> None:
    """Raise CheckpointError unless `path` is a folder with a model.json."""
    if not path.exists():
        raise CheckpointError(f"{path}: expected a checkpoint folder, got nothing there; check the path")
    if path.is_file():
        refuse_pickle(path)
        raise CheckpointError(f"{path}: expected a checkpoint folder, got a file; give the folder it is in")
    if not (path / MODEL_FILE).is_file():
        for file in sorted(path.iterdir()):
            refuse_pickle(file)
        raise CheckpointError(f"{path}: expected a checkpoint folder, got one without {MODEL_FILE}")


def _strict_json(content: bytes) -> Any:
    """Parse JSON, refusing repeated keys, NaN and numbers beyond float64 (ValueError)."""
    return json.loads(
        content, object_pairs_hook=_unique_keys, parse_constant=_finite_float, parse_float=_finite_float
    )


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)!r} twice")
    return values


def _finite_float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text}")
    return value


def _check_target(path: Path, overwrite: bool) -> None:
    """Raise CheckpointError unless a checkpoint may be written at `path`."""
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise CheckpointError(f"{path}: expected a new folder, got one that exists; choose another")
    try:
        read_config(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: expected a checkpoint to overwrite, got something else") from error


@contextlib.contextmanager
def _staged(path: Path) -> Iterator[Path]:
    """A hidden sibling of `path` that takes its place when the block ends, and is removed when it fails."""
    folder = path.with_name(f".{path.name}.partial-{uuid.uuid4().hex[:8]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir()
    try:
        yield folder
        _install(folder, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _install(folder: Path, path: Path) -> None:
    """Rename `folder` to `path`; a checkpoint there goes last, and comes back when the rename fails."""
    if not path.exists():
        os.replace(folder, path)
        return
    _keep_foreign_files(path, folder)
    old = folder.with_suffix(".replaced")
    os.replace(path, old)
    try:
        os.replace(folder, path)
    except BaseException:
        os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _keep_foreign_files(source: Path, target: Path) -> None:
    """Copy what a checkpoint folder holds beside our own files, such as a licence."""
    for entry in source.iterdir():
        if entry.name in _own_files():
            continue
        if entry.is_dir():
            shutil.copytree(entry, target / entry.name, symlinks=True)
        else:
            shutil.copy2(entry, target / entry.name, follow_symlinks=False)
