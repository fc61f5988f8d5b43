"""What draws a picture: a checkpoint through PyTorch, or a bundle through one of its runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from export.bundle.adapter_files import read_adapters
from export.bundle.bundle import Bundle, open_bundle
from export.runners.torch import torch_threads
from export.targets import TORCH, open_runner
from mobile_diffusion.adapters import Adapters
from mobile_diffusion.checkpoint import Model, open_checkpoint
from mobile_diffusion.drawing import Arrays, DrawSettings, RunStage
from mobile_diffusion.errors import ConfigError, ExportError
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.quoting import quoted
from mobile_diffusion.tokenization.tokenizer import Tokenizer


@dataclass(frozen=True)
class Artist:
    """Everything that `mobile_diffusion.drawing.draw` needs."""

    title: str
    run_stage: RunStage
    tokenizer: Tokenizer
    settings: DrawSettings
    images: bool
    """Whether it can start from a picture."""
    adapters: Adapters | None = None
    """The adapters that a drawing turns on and off; None without any."""


def open_artist(
    checkpoint: Path | str,
    bundle: Path | None,
    options: OpenOptions | None = None,
    runtime: str | None = None,
    threads: int = 2,
    adapter_files: Sequence[Path] = (),
) -> Artist:
    """Open the bundle if one is given, with adapters that were made for it later, else the checkpoint.

    Raises `ConfigError` for a runtime without a bundle, a runtime that the bundle does not have, and an option that
    changes a checkpoint: a bundle cannot be changed.
    """
    options = options or OpenOptions()
    if bundle is None and runtime is not None:
        raise ConfigError(f"--runtime {runtime}: expected a --bundle that has it, got none; give --bundle FOLDER")
    if bundle is None and adapter_files:
        raise ConfigError(
            "--adapter-file: expected a --bundle for it, got none; a checkpoint takes --adapter NAME=FILE"
        )
    if bundle is None:
        return model_artist(open_checkpoint(checkpoint, options), threads)
    given = replace(options, guidance=None)  # drawing takes it, not opening
    if given != OpenOptions():
        name = next(name for name, value in vars(given).items() if value != getattr(OpenOptions(), name))
        raise ConfigError(f"{name}: expected no such option with --bundle, whose export fixed it; use --model")
    return bundle_artist(open_bundle(bundle), runtime, threads, adapter_files)


def model_artist(model: Model, threads: int = 2) -> Artist:
    """Draw with PyTorch, on this many threads."""
    pipeline = Pipeline(model)

    def run_stage(stage: str, /, **arrays: np.ndarray) -> Arrays:
        with torch_threads(threads):
            return pipeline.run(stage, **arrays)

    return Artist(TORCH.title, run_stage, model.tokenizer, pipeline.settings, True, model.adapters)


def bundle_artist(bundle: Bundle, runtime: str | None, threads: int, adapter_files: Sequence[Path] = ()) -> Artist:
    """Draw with one runtime of a bundle."""
    adapters = read_adapters(bundle, adapter_files)
    entry, runner = open_runner(bundle, runtime, threads)
    images = any(stage.name == "encode_image" for stage in bundle.manifest.stages)
    return Artist(entry.title, cast(RunStage, runner.run), bundle.tokenizer(), bundle.settings(), images, adapters)


def check_picture_path(path: Path) -> None:
    """Raise `ExportError` when a PNG cannot be written to `path`; called before any work."""
    if path.is_dir():
        raise ExportError(f"{path}: expected a picture file, got a folder; give -o a file name such as {path}/a.png")
    if path.suffix.lower() != ".png":
        raise ExportError(f"{path}: expected a file name that ends in .png, got {quoted(path.name)}")
    if not path.parent.is_dir():
        raise ExportError(f"{path}: expected an existing folder, got none at {path.parent}; make it first")
