"""ONNX at full size: every stage lowered, ours beside the naive way, and the models run against PyTorch.

    python benchmarks/full_size_onnx.py --folder /tmp/onnx

Weights, inputs and processes are as in full_size_coreml.py.  The naive way is `torch.onnx.export` of diffusers' module
(U-Net at batch 2, decoder) straight to a file: no tables, no guidance, not simplified.  Models are run by ONNX Runtime,
the second time in the same process.  Writes `onnx.json` into the folder and prints it as a table; the models are
removed unless `--keep`.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from full_size_coreml import STEP, Clock, Found, Line, arrays_of, diffusers_module, folder_size, stage_of, table
from peak_memory import measure_call

from export.stages import IMAGE_STAGES
from mobile_diffusion.presets import preset

LOGGER = logging.getLogger(__name__)
NAIVE = ("denoise", "decode_image")
"""Stages of which diffusers has a module."""


def ours(name: str, stage: str, folder: Path) -> Found:
    """Lower a stage as an export does."""
    from export.onnx.lower import lower

    made, target = stage_of(name, stage), folder / stage
    target.mkdir(parents=True)
    clock = Clock()
    lower(made, target)
    return clock.read() | {"size_gb": folder_size(target)}


@torch.no_grad()
def naive(name: str, stage: str, folder: Path) -> Found:
    """Export diffusers' module as a first attempt would."""
    from export.onnx.lower import OPSET

    module, example = diffusers_module(preset(name), stage)
    module.eval().requires_grad_(False)
    target = folder / f"naive-{stage}"
    target.mkdir(parents=True)
    clock = Clock()
    torch.onnx.export(module, example, target / "model.onnx", dynamo=True, opset_version=OPSET, verbose=False)
    return clock.read() | {"size_gb": folder_size(target)}


@torch.inference_mode()
def reference(name: str, stage: str, folder: Path) -> Found:
    """Run a stage in PyTorch and keep its inputs, its outputs, and what of the latents passes through."""
    made = stage_of(name, stage)
    arrays = arrays_of(made)
    tensors = {key: torch.from_numpy(value) for key, value in arrays.items()}
    clock = Clock()
    result = made.module(**tensors)
    taken = clock.read()
    results = result if isinstance(result, tuple) else (result,)
    outputs = {f"out_{spec.name}": tensor.numpy() for spec, tensor in zip(made.outputs, results, strict=True)}
    kept: Any = made.module.update.m00[STEP] * tensors["latents"] if stage == "denoise" else torch.zeros(())  # type: ignore[union-attr]
    np.savez(folder / f"{stage}.npz", kept=kept.numpy(), **arrays, **outputs)
    return taken


def run(name: str, stage: str, folder: Path) -> Found:
    """Open a model, run it twice, and compare its outputs with the reference's; the worst one counts."""
    from export.runners.onnxruntime import OnnxRuntimeRunner

    with np.load(folder / f"{stage}.npz") as stored:
        arrays = dict(stored)
    kept = arrays.pop("kept").astype(np.float64)
    wanted = {key.removeprefix("out_"): arrays.pop(key) for key in list(arrays) if key.startswith("out_")}
    runner = OnnxRuntimeRunner.load(folder / stage, {stage: f"{stage}.onnx"}, torch.get_num_threads())
    runner.run(stage, **arrays)
    clock = Clock()
    got = runner.run(stage, **arrays)
    taken = clock.read()
    return taken | {"snr_db": min(_ratio(wanted[key], got[key], kept) for key in wanted)}


def _ratio(wanted: np.ndarray, got: np.ndarray, kept: np.ndarray) -> float:
    """dB; the signal of a step is the network's part, because most of its latents pass through."""
    signal, noise = wanted.astype(np.float64) - kept, got.astype(np.float64) - wanted
    return float(10 * np.log10(np.square(signal).sum() / np.square(noise).sum()))


WAYS: dict[str, Callable[[str, str, Path], Found]] = {
    "naive": naive,
    "ours": ours,
    "torch": reference,
    "onnxruntime": run,
}


def measured(way: str, name: str, stage: str, folder: Path) -> Line:
    """One way with one stage, in a process of its own."""
    taken = measure_call(WAYS[way], name, stage, folder)
    return Line(stage, way, taken.peak_bytes / 1e9, taken.private_bytes / 1e9, **taken.result)


def main() -> None:
    """Measure every stage in every way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="sd15")
    parser.add_argument("--stages", nargs="+", choices=IMAGE_STAGES, default=IMAGE_STAGES)
    parser.add_argument("--ways", nargs="+", choices=tuple(WAYS), default=tuple(WAYS))
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--keep", action="store_true", help="keep the models")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given.folder.mkdir(parents=True, exist_ok=True)
    lines: list[Line] = []
    for stage in given.stages:
        for way in given.ways:
            if way == "naive" and (stage not in NAIVE or given.preset != "sd15"):
                continue
            lines.append(measured(way, given.preset, stage, given.folder))
            (given.folder / "onnx.json").write_text(json.dumps([asdict(line) for line in lines], indent=1))
        for file in given.folder.glob("*/*.onnx*") if not given.keep else ():
            file.unlink()
    LOGGER.info("%s", table(lines))


if __name__ == "__main__":
    main()
