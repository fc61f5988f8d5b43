"""Artifacts of the tiny model, lowered once a session, and inputs for its stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from export.runners.torch import TorchRunner
from export.stages import ExportStage, build_stages
from mobile_diffusion.checkpoint import Model

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def tiny_stages(tiny_model: Model) -> Mapping[str, ExportStage]:
    """The three stages of the tiny model."""
    return build_stages(tiny_model)


@pytest.fixture(scope="session")
def torch_runner(tiny_model: Model) -> TorchRunner:
    """The reference."""
    return TorchRunner.from_model(tiny_model, threads=1)


@pytest.fixture(scope="session")
def make_inputs(tiny_model: Model) -> Callable[..., Arrays]:
    """`make_inputs(stage, step=0)`: seeded arrays, the prompt's tokens where tokens are wanted."""
    generator = np.random.default_rng(11)
    config, tokens = tiny_model.config, tiny_model.tokenizer.encode("a red apple, 3d")
    context, null = (generator.standard_normal(config.context_shape, np.float32) for _ in range(2))
    latents = generator.standard_normal(config.latent_shape, np.float32)

    def make(stage: str, step: int = 0) -> Arrays:
        if stage == "encode_text":
            return {"tokens": tokens.ids[None], "mask": tokens.mask[None]}
        if stage == "decode_image":
            return {"latents": latents}
        index, scale = np.array([step], np.int32), np.array([3.0], np.float32)
        return {"latents": latents, "step": index, "context": context, "null_context": null, "guidance": scale}

    return make


@pytest.fixture(scope="session")
def executorch_folder(tiny_stages: Mapping[str, ExportStage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `model.pte`, lowered once."""
    from export.executorch.lower import lower

    folder = tmp_path_factory.mktemp("executorch")
    lower(tiny_stages, folder)
    return folder


@pytest.fixture(scope="session")
def onnx_folder(tiny_stages: Mapping[str, ExportStage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three .onnx files, lowered once."""
    from export.onnx.lower import lower

    folder = tmp_path_factory.mktemp("onnx")
    lower(tiny_stages, folder)
    return folder


@pytest.fixture(scope="session")
def coreml_folder(tiny_stages: Mapping[str, ExportStage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three packages."""
    from export.coreml.lower import lower

    folder = tmp_path_factory.mktemp("coreml")
    lower(tiny_stages, folder)
    return folder
