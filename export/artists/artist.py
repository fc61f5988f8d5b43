"""What draws a picture: a checkpoint through PyTorch, or a bundle through one of its runtimes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from export.bundle.bundle import Bundle, open_bundle
from export.targets import TORCH, open_runner
from mobile_diffusion.checkpoint import Model, open_checkpoint
from mobile_diffusion.drawing import DrawSettings, RunStage
from mobile_diffusion.errors import ConfigError, ExportError
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.tokenization.tokenizer import Tokenizer


@dataclass(frozen=True)
class Artist:
    """All that `mobile_diffusion.drawing.draw` needs."""

    title: str
    run_stage: RunStage
    tokenizer: Tokenizer
    settings: DrawSettings
    images: bool
    """Whether it can begin with a picture."""


def open_artist(
    checkpoint: Path | str,
    bundle: Path | None,
    options: OpenOptions | None = None,
    runtime: str | None = None,
    threads: int = 2,
) -> Artist:
    """Open the bundle if there is one, else the checkpoint.

    Raises `ConfigError` for a runtime without a bundle, an unknown one, and options that change a checkpoint,
    which a bundle is not.
    """
    options = options or OpenOptions()
    if bundle is None and runtime is not None:
        raise ConfigError(f"--runtime {runtime!r}: expected a --bundle to find it in, got none")
    if bundle is None:
        return model_artist(open_checkpoint(checkpoint, options))
    given = replace(options, guidance=None)  # a scale is asked of every drawing
    if given != OpenOptions():
        name = next(name for name, value in vars(given).items() if value != getattr(OpenOptions(), name))
        raise ConfigError(f"{name}: expected no such option for a bundle, which was exported with its own; use --model")
    return bundle_artist(open_bundle(bundle), runtime, threads)


def model_artist(model: Model) -> Artist:
    """Draw with PyTorch."""
    pipeline = Pipeline(model)
    return Artist(TORCH.title, pipeline.run, model.tokenizer, pipeline.settings, images=True)


def bundle_artist(bundle: Bundle, runtime: str | None, threads: int) -> Artist:
    """Draw with a runtime of a bundle."""
    entry, runner = open_runner(bundle, runtime, threads)
    images = any(stage.name == "encode_image" for stage in bundle.manifest.stages)
    return Artist(entry.title, cast(RunStage, runner.run), bundle.tokenizer(), bundle.settings(), images)


def check_picture_path(path: Path) -> None:
    """Raise `ExportError` before any work when a PNG cannot be written to `path`."""
    if path.is_dir():
        raise ExportError(f"{path}: expected a picture file, got a folder; give -o a file name such as {path}/a.png")
    if path.suffix.lower() != ".png":
        raise ExportError(f"{path}: expected a file name that ends in .png, got {path.name!r}")
    if not path.parent.is_dir():
        raise ExportError(f"{path}: expected an existing folder, got none at {path.parent}; make it first")
