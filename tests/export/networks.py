"""Architectures as narrow and shallow as they can be, with random weights, and how their stages are compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from export.runners import Runner
from export.stages import ExportStage
from mobile_diffusion.autoencoder_config import AutoencoderConfig, TinyAutoencoderConfig
from mobile_diffusion.config import (
    ClipTextConfig,
    ModelConfig,
    ScheduleConfig,
    UNetConfig,
    UNetLevel,
)
from mobile_diffusion.formats.checkpoint_files import builders

Arrays = dict[str, np.ndarray]

LEADING = ScheduleConfig(spacing="leading", offset=1, final="first", steps=4)
SD1 = ModelConfig(
    name="narrow-sd1",
    licence="MIT",
    height=32,
    width=64,
    unet=UNetConfig(
        down=(UNetLevel(32, 1, 1), UNetLevel(64, 1, 0)),
        mid=UNetLevel(64, 2, 1),
        up=(UNetLevel(64, 2, 0), UNetLevel(32, 2, 2)),
        context_width=48,
        groups=16,
    ),
    autoencoder=AutoencoderConfig(channels=(16, 32), latent_channels=4, resnets=1, groups=16, scaling_factor=0.5),
    text=ClipTextConfig(vocabulary=99, width=48, layers=2, heads=4, intermediate=96, positions=12, max_tokens=12),
    schedule=dataclasses.replace(LEADING, solver="pndm"),
    tokenizer="clip-bpe",
)
"""Stable Diffusion 1: convolutions around the transformers, PNDM, one remembered state after another."""
SD2 = dataclasses.replace(
    SD1,
    unet=UNetConfig(
        down=(UNetLevel(32, 1, 1, heads=2), UNetLevel(64, 1, 1, heads=4)),
        mid=UNetLevel(64, 2, 1, heads=4),
        up=(UNetLevel(64, 2, 2, heads=4), UNetLevel(32, 2, 2, heads=2)),
        context_width=48,
        groups=16,
        linear_projection=True,
    ),
    text=dataclasses.replace(SD1.text, activation="gelu"),
    schedule=ScheduleConfig(solver="dpm-solver++", prediction="v", steps=4, zero_terminal_snr=True),
)
"""Stable Diffusion 2: linear layers around the transformers, heads of one width, exact GELU, v."""
BK_TINY = dataclasses.replace(
    SD1,
    unet=dataclasses.replace(SD1.unet, mid=None),
    schedule=dataclasses.replace(LEADING, solver="euler"),
    autoencoder=TinyAutoencoderConfig(channels=16, encoder_blocks=(1, 1), decoder_blocks=(1, 1)),
)
"""BK-SDM-tiny without a middle, drawn by a tiny autoencoder."""
LCM = dataclasses.replace(
    SD1,
    unet=dataclasses.replace(SD1.unet, guidance_width=8),
    schedule=ScheduleConfig(solver="lcm", guidance_kind="distilled", steps=4),
)
"""A latent consistency model: the scale of guidance is embedded, and noise is added at every step."""


@dataclass(frozen=True)
class RandomModel:
    """Networks of a configuration with random weights, biases and norms included."""

    config: ModelConfig

    def load_part(self, part: str) -> nn.Module:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.manual_seed(7)
            network = builders(self.config)[part]()
            for tensor in network.parameters():
                if tensor.ndim == 1:
                    tensor.add_(torch.randn_like(tensor) * 0.1)
        return network.eval().requires_grad_(False)


def arrays_of(stage: ExportStage, step: int = 1) -> Arrays:
    """Seeded inputs of a stage."""
    generator = np.random.default_rng(11)
    made = {spec.name: generator.standard_normal(spec.shape).astype(np.float32) for spec in stage.inputs}
    shapes = {spec.name: spec.shape for spec in stage.inputs}
    if "step" in made:
        made |= {"step": np.array([step], np.int32)}
    if "guidance" in made:
        made |= {"guidance": np.array([3.0], np.float32)}
    if "tokens" in made:
        made |= {"tokens": generator.integers(99, size=shapes["tokens"], dtype=np.int32)}
    if "mask" in made:
        made |= {"mask": (np.arange(shapes["mask"][1]) < shapes["mask"][1] - 3).astype(np.int32)[None]}
    if "image" in made:
        made |= {"image": generator.random(shapes["image"], np.float32)}
    return made


def outputs_of(stage: ExportStage, arrays: Mapping[str, np.ndarray]) -> Arrays:
    """What PyTorch computes, by name."""
    result = stage.module(**{name: torch.from_numpy(array) for name, array in arrays.items()})
    results = result if isinstance(result, tuple) else (result,)
    return {spec.name: tensor.numpy() for spec, tensor in zip(stage.outputs, results, strict=True)}


def signal_to_noise(reference: np.ndarray, candidate: np.ndarray) -> float:
    """dB, in float64; infinite when they are equal."""
    error = np.square(candidate.astype(np.float64) - reference).sum()
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(np.square(reference.astype(np.float64)).sum() / error))


def assert_close(reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], limit: float) -> None:
    """Hold every output, its dtype and shape to the reference's."""
    assert list(reference) == list(candidate)
    for name, wanted in reference.items():
        assert (candidate[name].dtype, candidate[name].shape) == (wanted.dtype, wanted.shape)
        assert wanted.std() > 1e-3, "a reference of about zero proves nothing"
        assert signal_to_noise(wanted, candidate[name]) > limit


def assert_runs_as_pytorch(stage: ExportStage, runner: Runner, limit: float, step: int = 1) -> None:
    """Run a stage with a runner and with PyTorch."""
    arrays = arrays_of(stage, step)
    assert_close(outputs_of(stage, arrays), runner.run(stage.name, **arrays), limit)
