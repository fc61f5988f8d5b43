"""The stages of a small model as programs with float16, and inputs of real drawings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from torch import Tensor

from export.coreml.mixed import half_program
from export.coreml.options import CoreMLOptions
from export.job.calibration import CALIBRATION_CASES, collect
from export.mixed.rounded import HalfProgram
from export.runners.torch import TorchRunner
from export.stages import build_stage
from mobile_diffusion.drawing import DrawSettings
from tests.export.overflow import overflowing
from tests.tiny_models import SMALL, emoji_words, untrained

Samples = tuple[Mapping[str, Tensor], ...]
Measured = Callable[..., tuple[HalfProgram, Samples]]


@pytest.fixture(scope="session")
def measured() -> Measured:
    """Returns a stage of the small model with some overflows, and its inputs at every step of two drawings."""

    def build(stage: str, *overflows: str, options: CoreMLOptions | None = None) -> tuple[HalfProgram, Samples]:
        model = overflowing(untrained(SMALL, emoji_words(12)), *overflows)
        runner = TorchRunner.from_model(model, threads=1)
        samples = collect(runner, model.tokenizer, DrawSettings.of(model.config), CALIBRATION_CASES[:2])
        return half_program(build_stage(model, stage), options or CoreMLOptions()), samples[stage]

    return build
