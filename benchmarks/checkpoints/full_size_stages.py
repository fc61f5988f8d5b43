"""One stage at full size: lowered by us, lowered the naive way, and run against PyTorch.

    python -m benchmarks.checkpoints.full_size_stages --work /tmp/stages  # all runtimes, about 12 minutes
    python -m benchmarks.checkpoints.full_size_stages --work /tmp/stages coreml xnnpack

Stable Diffusion 1.5 at 512 pixels, with random weights: PyTorch's initialisation with seed 0, biases and norms moved
by normal numbers times 0.1.  The naive way is what the libraries' guides say: diffusers' module (U-Net at batch 2,
decoder), `torch.export`, then the runtime's converter with its defaults; ours has guidance, solver and schedule inside
besides.  The reference is PyTorch in float32.  Every figure comes from its own process: seconds are of the work alone,
without imports and the making of weights; the peak is of the whole process.  Results go to
benchmarks/results/full_size_stages.json, a row each; programs are removed when they have been measured.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.measuring.command_line import Names, Work, chosen, run_script
from benchmarks.measuring.peak_memory import measure_call
from benchmarks.measuring.random_model import RandomModel
from benchmarks.measuring.results import read_result, write_result
from benchmarks.paths import RESULTS
from export.stages import ExportStage, build_stage
from export.targets import RUNTIMES, load_runner, lower
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.decibels import snr_db
from mobile_diffusion.presets import preset

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "full_size_stages.json"
MODEL = "sd15"
STAGES = ("denoise", "decode_image")
"""Those of which diffusers has a module."""
STEP, GUIDANCE, THREADS = 2, 7.5, 2
GIGA = 1e9
SUFFIXES = (".mlpackage", ".aimodel", ".pte", ".onnx")
Found = dict[str, float]


@dataclass(frozen=True)
class Row:
    """One way with one stage."""

    runtime: str
    stage: str
    way: str
    """"naive" or "ours" is lowered, "run" is run by the runtime, "torch" by PyTorch."""
    seconds: float
    cpu_seconds: float
    """The same on all cores, waiting left out: what a busy machine does not change."""
    peak_gb: float
    """Resident, mapped files included."""
    private_gb: float
    """Resident and in no file."""
    size_gb: float | None = None
    """Of the program."""
    snr_db: float | None = None
    """Of what was run against PyTorch; of `denoise`, of the network's part of the latents."""


def stage_of(name: str) -> ExportStage:
    """A stage with random weights."""
    return build_stage(RandomModel(preset(MODEL), seed=0), name)


def arrays_of(stage: ExportStage) -> dict[str, np.ndarray]:
    """Seeded inputs of a stage."""
    generator = np.random.default_rng(0)
    fixed = {"step": np.array([STEP], np.int32), "guidance": np.array([GUIDANCE], np.float32)}
    return {
        spec.name: fixed[spec.name] if spec.name in fixed else generator.standard_normal(spec.shape, np.float32)
        for spec in stage.inputs
    }


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def read(self) -> Found:
        """Two figures of a `Row`."""
        return {"seconds": time.perf_counter() - self.wall, "cpu_seconds": time.process_time() - self.cpu}


def ours(runtime: str, stage: str, folder: Path) -> Found:
    """Lower a stage as an export does."""
    import_module(RUNTIMES[runtime].lowering)
    made = stage_of(stage)
    clock = Clock()
    lower(RUNTIMES[runtime], made, folder)
    return clock.read() | {"size_gb": _folder_size(folder)}


@torch.no_grad()
def naive(runtime: str, stage: str, folder: Path) -> Found:
    """Lower diffusers' module as a first attempt would."""
    import_module(RUNTIMES[runtime].lowering)
    module, example = diffusers_module(preset(MODEL), stage)
    module.eval().requires_grad_(False)
    clock = Clock()
    NAIVE[runtime](module, example, folder)
    return clock.read() | {"size_gb": _folder_size(folder)}


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


def naive_coreml(module: nn.Module, example: tuple[torch.Tensor, ...], folder: Path) -> None:
    """coremltools' guide: export, decompose, convert, save."""
    import coremltools as ct

    program = torch.export.export(module, example).run_decompositions({})
    model = ct.convert(program, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS17, skip_model_load=True)
    model.save(str(folder / "model.mlpackage"))


def naive_executorch(module: nn.Module, example: tuple[torch.Tensor, ...], folder: Path) -> None:
    """ExecuTorch's guide: export, lower to XNNPACK, write."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    program = torch.export.export(module, example)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    with (folder / "model.pte").open("wb") as file:
        lowered.write_to_file(file)


def naive_onnx(module: nn.Module, example: tuple[torch.Tensor, ...], folder: Path) -> None:
    """PyTorch's guide: export straight to a file."""
    from export.onnx.lower import OPSET

    torch.onnx.export(module, example, folder / "model.onnx", dynamo=True, opset_version=OPSET, verbose=False)


def naive_coreai(module: nn.Module, example: tuple[torch.Tensor, ...], folder: Path) -> None:
    """coreai-torch's guide: export, decompose with its table, convert, save."""
    import coreai_torch

    program = torch.export.export(module, example).run_decompositions(coreai_torch.get_decomp_table())
    converter = coreai_torch.TorchConverter().add_exported_program(program)
    converter.to_coreai().save_asset(folder / "model.aimodel")


NAIVE = {"coreml": naive_coreml, "coreai": naive_coreai, "xnnpack": naive_executorch, "onnx": naive_onnx}


@torch.inference_mode()
def reference(runtime: str, stage: str, folder: Path) -> Found:
    """Run a stage in PyTorch, and keep its inputs, its output, and what of the latents passes through."""
    made = stage_of(stage)
    arrays = arrays_of(made)
    clock = Clock()
    output = made.module(**{key: torch.from_numpy(value) for key, value in arrays.items()})
    taken = clock.read()
    kept: Any = made.module.update.m00[STEP].numpy() * arrays["latents"] if stage == "denoise" else 0.0  # type: ignore[union-attr]
    np.savez(folder / "reference.npz", wanted=output.numpy() - kept, kept=kept, **arrays)
    return taken


def run(runtime: str, stage: str, folder: Path) -> Found:
    """Open what `ours` lowered, run it twice (Core AI once, as it takes minutes), and compare the last result."""
    with np.load(folder / "reference.npz") as stored:
        arrays = dict(stored)
    wanted, kept = arrays.pop("wanted"), arrays.pop("kept")
    (program,) = (path for path in folder.rglob(f"{stage}.*") if path.suffix in SUFFIXES)
    call = opened(runtime, stage, folder, program)
    if runtime != "coreai":
        call(arrays)
    clock = Clock()
    (got,) = call(arrays).values()
    return clock.read() | {"snr_db": snr_db(wanted, got - kept)}


def opened(runtime: str, stage: str, folder: Path, program: Path) -> Callable[[Any], dict[str, np.ndarray]]:
    """A function that runs a program in this process; Core AI's runner has another, whose memory would not count."""
    if runtime == "coreai":
        from export.coreai.program import open_program

        return open_program(program, stage, "main", folder).run
    runner = load_runner(RUNTIMES[runtime], folder, {stage: str(program.relative_to(folder))}, THREADS)
    return lambda arrays: runner.run(stage, **arrays)


WAYS: dict[str, Callable[[str, str, Path], Found]] = {"naive": naive, "ours": ours, "torch": reference, "run": run}


def measured(runtime: str, stage: str, work: Path) -> list[Row]:
    """All ways of one stage, each in its own process."""
    rows = []
    for way, work_of in WAYS.items():
        if way in ("naive", "ours"):
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
        taken = measure_call(work_of, runtime, stage, work)
        found = {"peak_gb": taken.peak_bytes / GIGA, "private_gb": taken.private_bytes / GIGA, **taken.result}
        rows.append(Row(runtime, stage, way, **{key: round(value, 2) for key, value in found.items()}))
        LOGGER.info("%s", json.dumps(asdict(rows[-1])))
    shutil.rmtree(work)
    return rows


def keep(rows: list[Row]) -> None:
    """Replace earlier rows."""
    earlier = read_result(RESULT, [])
    new = {(row.runtime, row.stage) for row in rows}
    others = [each for each in earlier if (each["runtime"], each["stage"]) not in new]
    write_result(RESULT, [*others, *(asdict(row) for row in rows)])


def _folder_size(path: Path) -> float:
    """10^9 bytes of files."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / GIGA


def main(
    work: Work,
    runtimes: Names = None,
) -> None:
    """Measure stage by stage, and write after each."""
    for runtime in chosen(runtimes, NAIVE, "runtime"):
        for stage in STAGES:
            keep(measured(runtime, stage, work / f"{runtime}-{stage}"))


if __name__ == "__main__":
    run_script(main, __doc__)
