"""The latency table of a U-Net's blocks: each shape is lowered on its own and timed on the artifact's runtime.

Slimming reads it (mobile_diffusion/slimming/latency.py).  A block that is lowered alone has boundaries that it does not
have inside the network, so its time is an estimate.  The whole U-Net is timed too, and the sum is scaled to it.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from export.latency.measure import BUDGET_S, measure, read_conditions
from export.runtime import Runtime
from export.signatures import TensorSpec, text_inputs
from export.stages import ExportStage
from export.targets import XNNPACK, load_runner, lower
from mobile_diffusion.blocks import ResnetBlock
from mobile_diffusion.config import ModelConfig, UNetLevel
from mobile_diffusion.progress import Progress, silent
from mobile_diffusion.slimming.actions import reachable_shapes
from mobile_diffusion.slimming.blocks import RESNET, BlockShape
from mobile_diffusion.slimming.latency import BlockLatency, LatencyTable
from mobile_diffusion.staging import write_bytes
from mobile_diffusion.transformer import SpatialTransformer
from mobile_diffusion.unet import EPSILON, UNet

RUNS = 20


class TimedUNet(nn.Module):
    """One evaluation that takes the time embedding as an input, because the artifact looks it up in a table."""

    def __init__(self, unet: UNet) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, latents: Tensor, time: Tensor, context: Tensor, pooled: Tensor | None = None) -> Tensor:
        """latents (1, C, h, w), time (1, time_width), context (1, L, D), pooled (1, P) -> (1, C, h, w)."""
        return self.unet.predict(latents, time, context, pooled)


def measure_blocks(
    config: ModelConfig, threads: int, runtime: Runtime = XNNPACK, runs: int = RUNS, progress: Progress = silent
) -> LatencyTable:
    """Measure a model's U-Net on a runtime of this computer; the weights are random, as no time depends on them."""
    _, _, height, width = config.latent_shape
    shapes = sorted(reachable_shapes(config.unet, height, width))
    stages = [whole_stage(config), *(block_stage(config, shape) for shape in shapes)]
    times = []
    for number, stage in enumerate(stages):
        progress(f"block {number} of {len(shapes)}", number / len(stages))
        times.append(_time(stage, runtime, threads, runs))
    blocks = tuple(BlockLatency(shape, time) for shape, time in zip(shapes, times[1:], strict=True))
    processor = read_conditions().processor
    return LatencyTable(runtime.name, processor, threads, height, width, config.unet, times[0], blocks)


def write_table(table: LatencyTable, path: Path) -> None:
    """Write a table as JSON."""
    write_bytes((json.dumps(asdict(table), indent=1) + "\n").encode(), path)


def whole_stage(config: ModelConfig) -> ExportStage:
    """One evaluation of the U-Net as a stage."""
    torch.manual_seed(0)
    unet = TimedUNet(UNet(config.unet).for_size((config.height, config.width))).eval().requires_grad_(False)
    latents = TensorSpec("latents", "float32", config.latent_shape)
    time = TensorSpec("time", "float32", (1, config.unet.time_width))
    inputs = (latents, time, *text_inputs(config))
    return ExportStage("whole", unet, inputs, (TensorSpec("out", "float32", config.latent_shape),))


def block_stage(config: ModelConfig, shape: BlockShape) -> ExportStage:
    """One block as a stage that takes its feature map, and the time embedding or the text."""
    torch.manual_seed(0)
    unet, size = config.unet, (shape.height, shape.width)
    block: nn.Module
    if shape.kind == RESNET:
        block = ResnetBlock(shape.inputs, shape.channels, unet.time_width, unet.groups, EPSILON)
        other = TensorSpec("time", "float32", (1, unet.time_width))
    else:
        block = SpatialTransformer(unet, _level_of(config, shape), depth=1)
        other = TensorSpec("context", "float32", config.context_shape)
    inputs = (TensorSpec("x", "float32", (1, shape.inputs, *size)), other)
    outputs = (TensorSpec("out", "float32", (1, shape.channels, *size)),)
    return ExportStage("block", block.eval().requires_grad_(False), inputs, outputs)


def _level_of(config: ModelConfig, shape: BlockShape) -> UNetLevel:
    """A level with the transformer's channels, for its heads."""
    unet = config.unet
    levels = (*unet.down, *unet.up, *([unet.mid] if unet.mid else []))
    return next(level for level in levels if level.channels == shape.channels and level.transformers)


def _time(stage: ExportStage, runtime: Runtime, threads: int, runs: int) -> float:
    """Median milliseconds of a stage."""
    with tempfile.TemporaryDirectory() as folder:
        path = lower(runtime, stage, Path(folder))
        runner = load_runner(runtime, Path(folder), {stage.name: path}, threads)
        report = measure(runner, {stage.name: stage}, runs=runs, budget_s=BUDGET_S)
    return report.runners[0].stages[0].median_ms
