"""How the tests compare the stages of small models with PyTorch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from export.runners import Runner
from export.stages import ExportStage

Arrays = dict[str, np.ndarray]


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
    """Compare every output, its dtype and shape with the reference's."""
    assert list(reference) == list(candidate)
    for name, wanted in reference.items():
        assert (candidate[name].dtype, candidate[name].shape) == (wanted.dtype, wanted.shape)
        assert wanted.std() > 1e-3, "a reference of about zero proves nothing"
        found = signal_to_noise(wanted, candidate[name])
        assert found > limit, f"{name}: {found:.1f} dB"


def assert_runs_as_pytorch(stage: ExportStage, runner: Runner, limit: float, step: int = 1) -> None:
    """Run a stage with a runner and with PyTorch."""
    arrays = arrays_of(stage, step)
    assert_close(outputs_of(stage, arrays), runner.run(stage.name, **arrays), limit)
