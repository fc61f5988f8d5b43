"""What draws a picture: a checkpoint through PyTorch, or a bundle through one of its runtimes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from export.bundle import Bundle, open_bundle
from export.stages import TensorSpec
from export.targets import TORCH, open_runner
from mobile_diffusion.checkpoint import Model, open_checkpoint
from mobile_diffusion.errors import BundleError, ConfigError, ExportError
from mobile_diffusion.pipeline import DrawSettings, Pipeline, RunStage
from mobile_diffusion.tokenizer import Tokenizer


@dataclass(frozen=True)
class Artist:
    """All that `mobile_diffusion.pipeline.draw` needs."""

    title: str
    run_stage: RunStage
    tokenizer: Tokenizer
    settings: DrawSettings


def open_artist(
    checkpoint: Path,
    bundle: Path | None,
    runtime: str | None = None,
    steps: int | None = None,
    threads: int = 2,
) -> Artist:
    """Open the bundle if there is one, else the checkpoint.

    Raises `ConfigError` for a runtime without a bundle, an unknown one, or steps that the bundle does not
    have.
    """
    if bundle is not None:
        return bundle_artist(open_bundle(bundle), runtime, steps, threads)
    if runtime is not None:
        raise ConfigError(f"--runtime {runtime!r}: expected a --bundle to find it in, got none")
    return model_artist(open_checkpoint(checkpoint), steps)


def model_artist(model: Model, steps: int | None = None) -> Artist:
    """Draw with PyTorch, in any number of steps."""
    pipeline = Pipeline(model, steps)
    return Artist(TORCH.title, pipeline.run, model.tokenizer, pipeline.settings)


def bundle_artist(bundle: Bundle, runtime: str | None, steps: int | None, threads: int) -> Artist:
    """Draw with a runtime of a bundle, whose number of steps is fixed."""
    schedule = bundle.manifest.schedule
    count = len(schedule.timesteps)
    if steps not in (None, count):
        raise ConfigError(
            f"steps: expected {count}, the number that {bundle.path} was exported with, got {steps}; "
            "leave --steps out, or draw with --model"
        )
    entry, runner = open_runner(bundle, runtime, threads)
    settings = DrawSettings(latents_of(bundle).shape, count, schedule.guidance_default)
    return Artist(entry.title, cast(RunStage, runner.run), bundle.tokenizer(), settings)


def latents_of(bundle: Bundle) -> TensorSpec:
    """The latents that `denoise` takes."""
    for stage in bundle.manifest.stages:
        for tensor in stage.inputs:
            if stage.name == "denoise" and tensor.name == "latents":
                return tensor
    raise BundleError(f"{bundle.path}: expected denoise to take latents, got another signature; export it again")


def check_picture_path(path: Path) -> None:
    """Raise `ExportError` before any work when a PNG cannot be written to `path`."""
    if path.is_dir():
        raise ExportError(f"{path}: expected a picture file, got a folder; give -o a file name such as {path}/a.png")
    if path.suffix.lower() != ".png":
        raise ExportError(f"{path}: expected a file name that ends in .png, got {path.name!r}")
    if not path.parent.is_dir():
        raise ExportError(f"{path}: expected an existing folder, got none at {path.parent}; make it first")
