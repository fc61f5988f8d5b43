"""What the tests of exporting share: artifacts of the tiny model, lowered once a session, and its two bundles.

Whoever changes a bundle copies it first.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from export.job.plan import plan_export
from export.job.run import Exported, run_export
from export.runners.torch import TorchRunner
from export.stages import ExportStage, build_stages
from export.targets import TARGETS
from mobile_diffusion.checkpoint import Model, open_checkpoint, save_checkpoint
from tests.sharing import shared

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a checkpoint folder."""
    path = tmp_path_factory.mktemp("checkpoint") / "tiny"
    save_checkpoint(tiny_model, path)
    return path


@pytest.fixture(scope="session")
def exported(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Exported]:
    """Target to its export, made once for all processes of the run; do not change the folders."""
    model = open_checkpoint(tiny_checkpoint)

    def make(folder: Path) -> dict[str, Exported]:
        plans = {name: plan_export(model.config, target, threads=1) for name, target in TARGETS.items()}
        return {name: run_export(model, target, folder / name, plan=plans[name]) for name, target in TARGETS.items()}

    return shared(tmp_path_factory, "bundles", make)[1]


@pytest.fixture
def copy_of(exported: Mapping[str, Exported], tmp_path: Path) -> Callable[[str], Path]:
    """Returns a copy of a target's bundle that may be spoiled."""
    return lambda target: Path(shutil.copytree(exported[target].bundle.path, tmp_path / target))


@pytest.fixture(params=["1m"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A separate file system of a chosen size; needs root, and the right to mount."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root; RLIMIT_FSIZE is tested for everybody")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this machine does not let root mount; RLIMIT_FSIZE is tested for everybody")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)


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


def lower_all(lower: Callable[[ExportStage, Path], str], stages: Mapping[str, ExportStage], folder: Path) -> list[str]:
    """Lower every stage into a folder; returns the names of the programs."""
    return [lower(stage, folder) for stage in stages.values()]


@pytest.fixture(scope="session")
def executorch_folder(tiny_stages: Mapping[str, ExportStage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three .pte files, lowered once."""
    from export.executorch.lower import lower

    return shared(tmp_path_factory, "xnnpack", lambda folder: lower_all(lower, tiny_stages, folder))[0]


@pytest.fixture(scope="session")
def onnx_folder(tiny_stages: Mapping[str, ExportStage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three .onnx files, lowered once."""
    from export.onnx.lower import lower

    return shared(tmp_path_factory, "onnx", lambda folder: lower_all(lower, tiny_stages, folder))[0]


@pytest.fixture(scope="session")
def coreml_folder(tiny_stages: Mapping[str, ExportStage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three packages."""
    from export.coreml.lower import lower

    return shared(tmp_path_factory, "coreml", lambda folder: lower_all(lower, tiny_stages, folder))[0]


@pytest.fixture(scope="session")
def coreai_folder(tiny_stages: Mapping[str, ExportStage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three assets in float32."""
    from export.coreai.lower import lower
    from export.coreai.options import CoreAIOptions

    def lower_single(stage: ExportStage, folder: Path) -> str:
        return lower(stage, folder, CoreAIOptions("fp32"))

    return shared(tmp_path_factory, "coreai", lambda folder: lower_all(lower_single, tiny_stages, folder))[0]


@pytest.fixture(scope="session")
def coreai_half_folder(tiny_stages: Mapping[str, ExportStage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three assets in float16."""
    from export.coreai.lower import lower

    return shared(tmp_path_factory, "coreai-half", lambda folder: lower_all(lower, tiny_stages, folder))[0]
