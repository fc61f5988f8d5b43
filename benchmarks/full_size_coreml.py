"""Core ML at full size: every stage converted, ours beside the naive way, and the packages run against PyTorch.

    python benchmarks/full_size_coreml.py --folder /tmp/coreml

Weights are random: PyTorch's initialisation with seed 0, biases and norms moved by normal numbers times 0.1.  The
naive way is diffusers' module (U-Net at batch 2, decoder), `torch.export` and `coremltools.convert` with its
defaults.  The reference is PyTorch in float32, packages are run by our interpreter.  Every figure is of a process of
its own: seconds are of the work alone, without imports and the making of weights; the peaks are of the whole process.
Writes `coreml.json` into the folder and prints it as a table; the packages are removed unless `--keep`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peak_memory import measure_call
from torch import nn

from export.stages import IMAGE_STAGES, ExportStage, build_stage
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.formats.source import builders
from mobile_diffusion.presets import preset

Found = dict[str, float]
STEP, GUIDANCE = 2, 7.5


@dataclass(frozen=True)
class Line:
    """One row of the table; sizes in 10^9 bytes."""

    stage: str
    way: str
    """"naive", "ours", "torch" or "interpreter"."""
    peak_gb: float
    """Resident, mapped files included."""
    private_gb: float
    """Resident and in no file."""
    seconds: float
    """Of the work alone."""
    cpu_seconds: float
    """The same on all cores, waiting left out: what a busy machine does not change."""
    size_gb: float | None = None
    """Of the package."""
    snr_db: float | None = None
    """Of the interpreted package against PyTorch; of `denoise` without the latents that pass through."""


@dataclass(frozen=True)
class RandomModel:
    """A preset's networks with random weights, made one at a time."""

    config: ModelConfig

    def load_part(self, part: str) -> nn.Module:
        """One network in float32, in evaluation mode."""
        torch.manual_seed(0)
        return moved(builders(self.config)[part]())


@torch.no_grad()
def moved(network: nn.Module) -> nn.Module:
    """The network, with biases and norms that show when they are lost."""
    for tensor in network.parameters():
        if tensor.ndim == 1:
            tensor.add_(torch.randn_like(tensor) * 0.1)
    return network.eval().requires_grad_(False)


def stage_of(name: str, stage: str) -> ExportStage:
    """A stage of a preset."""
    return build_stage(RandomModel(preset(name)), stage)


def arrays_of(stage: ExportStage) -> dict[str, np.ndarray]:
    """Seeded inputs of a stage."""
    generator = np.random.default_rng(0)
    made: dict[str, np.ndarray] = {}
    for spec in stage.inputs:
        if spec.dtype == "int32":
            high = 1000 if spec.name == "tokens" else 1
            made[spec.name] = generator.integers(high, size=spec.shape, dtype=np.int32)
        else:
            made[spec.name] = generator.standard_normal(spec.shape, np.float32)
    fixed = {"step": np.array([STEP], np.int32), "guidance": np.array([GUIDANCE], np.float32)}
    made |= {name: value for name, value in fixed.items() if name in made}
    return {name: np.abs(value).clip(0, 1) if name == "image" else value for name, value in made.items()}


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self) -> Found:
        """The two figures of a `Line`."""
        return {"seconds": time.perf_counter() - self.wall, "cpu_seconds": time.process_time() - self.cpu}


def folder_size(path: Path) -> float:
    """10^9 bytes of files."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e9


def ours(name: str, stage: str, folder: Path) -> Found:
    """Convert a stage as an export does."""
    from export.coreml.lower import lower
    from export.coreml.toolchain import import_coremltools

    import_coremltools()
    made = stage_of(name, stage)
    clock = Clock()
    path = lower(made, folder)
    return {**clock.read(), "size_gb": folder_size(folder / path)}


def diffusers_module(config: ModelConfig, stage: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """diffusers' network of Stable Diffusion 1 and zeros of what it takes."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    latents = torch.zeros(config.latent_shape)
    if stage == "denoise":
        unet = UNet2DConditionModel(sample_size=latents.shape[-1], cross_attention_dim=config.unet.context_width)
        context = torch.zeros(2, *config.context_shape[1:])
        return unet, (torch.cat([latents, latents]), torch.tensor([1.0]), context)
    channels = config.autoencoder.channels
    kinds = len(channels)  # type: ignore[arg-type]
    autoencoder = AutoencoderKL(
        block_out_channels=channels,
        layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * kinds,
        up_block_types=("UpDecoderBlock2D",) * kinds,
    )
    autoencoder.forward = lambda latents: autoencoder.decode(latents, return_dict=False)[0]
    return autoencoder, (latents,)


@torch.no_grad()
def naive(name: str, stage: str, folder: Path) -> Found:
    """Convert diffusers' module as a first attempt would."""
    import coremltools as ct

    module, example = diffusers_module(preset(name), stage)
    module.eval().requires_grad_(False)
    clock = Clock()
    program = torch.export.export(module, example).run_decompositions({})
    model = ct.convert(program, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS17, skip_model_load=True)
    path = folder / f"naive-{stage}.mlpackage"
    model.save(str(path))
    return {**clock.read(), "size_gb": folder_size(path)}


@torch.no_grad()
def reference(name: str, stage: str, folder: Path) -> Found:
    """Run a stage in PyTorch and keep inputs, output, and what of the latents passes through."""
    made = stage_of(name, stage)
    arrays = arrays_of(made)
    tensors = {key: torch.from_numpy(value) for key, value in arrays.items()}
    clock = Clock()
    output = made.module(**tensors)
    taken = clock.read()
    kept: Any = made.module.update.m00[STEP] * tensors["latents"] if stage == "denoise" else torch.zeros(())  # type: ignore[union-attr]
    np.savez(folder / f"{stage}.npz", wanted=output.numpy(), kept=kept.numpy(), **arrays)
    return taken


def interpreted(name: str, stage: str, folder: Path) -> Found:
    """Open a package, run it once, and compare."""
    from export.coreml.toolchain import import_coremltools
    from export.runners.coreml_interpreter import CoreMLInterpreterRunner

    import_coremltools()
    with np.load(folder / f"{stage}.npz") as stored:
        arrays = dict(stored)
    wanted, kept = arrays.pop("wanted"), arrays.pop("kept")
    clock = Clock()
    runner = CoreMLInterpreterRunner.load(folder, {stage: f"{stage}.mlpackage"}, torch.get_num_threads())
    (got,) = runner.run(stage, **arrays).values()
    taken = clock.read()
    signal, noise = np.square((wanted - kept).astype(np.float64)), np.square(got.astype(np.float64) - wanted)
    return {**taken, "snr_db": float(10 * np.log10(signal.sum() / noise.sum()))}


WAYS: dict[str, Callable[[str, str, Path], Found]] = {
    "naive": naive,
    "ours": ours,
    "torch": reference,
    "interpreter": interpreted,
}


def measured(way: str, name: str, stage: str, folder: Path) -> Line:
    """One way with one stage, in a process of its own."""
    taken = measure_call(WAYS[way], name, stage, folder)
    return Line(stage, way, taken.peak_bytes / 1e9, taken.private_bytes / 1e9, **taken.result)


def table(lines: list[Line]) -> str:
    """The lines as Markdown."""
    rows = [asdict(line) for line in lines]
    names = list(rows[0])
    cells = [
        [f"{row[name]:.2f}" if isinstance(row[name], float) else str(row[name] or "") for name in names] for row in rows
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in [names, ["---"] * len(names), *cells])


def main() -> None:
    """Measure every stage in every way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="sd15")
    parser.add_argument("--stages", nargs="+", choices=IMAGE_STAGES, default=IMAGE_STAGES)
    parser.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=tuple(WAYS))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--keep", action="store_true", help="keep the packages")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    lines: list[Line] = []
    for stage in arguments.stages:
        for way in arguments.ways:
            if way == "naive" and (stage not in ("denoise", "decode_image") or arguments.preset != "sd15"):
                continue
            lines.append(measured(way, arguments.preset, stage, arguments.folder))
            (arguments.folder / "coreml.json").write_text(json.dumps([asdict(line) for line in lines], indent=1))
        for package in arguments.folder.glob("*.mlpackage") if not arguments.keep else ():
            shutil.rmtree(package)
    print(table(lines))


if __name__ == "__main__":
    main()
