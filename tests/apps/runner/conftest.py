"""The C++ programs, built as a user builds them, and bundles of two kinds for them to open.

Without a compiler the tests that need one are skipped with the reason; `apps/runner/install-tools.sh` installs all.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from export.parity.trajectories import Case
from export.plan import plan_export
from export.run import export_target
from export.targets import TARGETS
from mobile_diffusion.checkpoint import Model, untrained_model
from mobile_diffusion.clip_tokenizer import ClipTokenizer
from tests.export.networks import LCM

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "apps" / "runner"
CLIP = ROOT / "mobile_diffusion" / "clip_vocabulary"
TOOLS = ("g++", "make")
ARM_TOOLS = ("make", "aarch64-linux-gnu-g++", "qemu-aarch64-static")
HEADER = Path("/usr/include/nlohmann/json.hpp")
SYSROOT = "/usr/aarch64-linux-gnu"

Ask = Callable[[Sequence[dict[str, Any]]], list[Any]]
Run = Callable[..., subprocess.CompletedProcess[str]]


def require_tools(tools: Sequence[str]) -> None:
    """Skip unless everything is installed."""
    missing = [tool for tool in tools if shutil.which(tool) is None] + ([] if HEADER.is_file() else [HEADER.name])
    if missing:
        pytest.skip(f"no {', '.join(missing)}; apps/runner/install-tools.sh installs what is missing")


def make(*targets: str) -> None:
    """Build, or fail with what the compiler said; one process of the tests at a time."""
    (SOURCE / "build").mkdir(exist_ok=True)
    with (SOURCE / "build" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(["make", "-C", str(SOURCE), *targets], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="session")
def built() -> Path:
    """The folder with `runner` and `probe` for this machine."""
    require_tools(TOOLS)
    make("runner", "probe")
    return next((SOURCE / "build").glob("*/probe")).parent


@pytest.fixture(scope="session")
def arm_runner() -> Path:
    """The runner for 64-bit ARM."""
    require_tools(ARM_TOOLS)
    make("aarch64")
    return SOURCE / "build" / "aarch64" / "runner"


@pytest.fixture(scope="session")
def ask(built: Path) -> Ask:
    """Puts questions to the probe, all at once, and gives its answers."""

    def put(questions: Sequence[dict[str, Any]]) -> list[Any]:
        lines = "".join(json.dumps(question) + "\n" for question in questions)
        done = subprocess.run([built / "probe"], input=lines, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return put


@pytest.fixture(scope="session")
def run(built: Path) -> Run:
    """Starts the runner with one thread, unless told otherwise."""

    def start(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        given = list(map(str, arguments))
        threads = [] if "--threads" in given else ["--threads", "1"]
        command = [str(built / "runner"), *threads, *given]
        return subprocess.run(command, capture_output=True, text=True, env=environment or None)

    return start


def export(model: Model, out: Path, images: bool = False, precision: str = "fp32") -> Path:
    """The bundle of a model with ExecuTorch alone."""
    target = TARGETS["android"]
    plan = plan_export(model.config, target, ("xnnpack",), images=images, threads=1, precision=precision)
    return export_target(model, target, out, cases=(Case("a red apple, 3d", 7),), plan=plan).bundle.path


@pytest.fixture(scope="session")
def guided_model(tiny_model: Model) -> Model:
    """BERT's tokenizer and text encoder, classifier-free guidance, a solver with memory."""
    schedule = dataclasses.replace(tiny_model.config.schedule, solver="dpm-solver++")
    return dataclasses.replace(tiny_model, config=dataclasses.replace(tiny_model.config, schedule=schedule))


@pytest.fixture(scope="session")
def guided(guided_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That model in float32."""
    return export(guided_model, tmp_path_factory.mktemp("guided") / "bundle")


@pytest.fixture(scope="session")
def half(guided_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That model with weights in half precision."""
    return export(guided_model, tmp_path_factory.mktemp("half") / "bundle", precision="fp16")


@pytest.fixture(scope="session")
def int8(guided_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That model in 8 bits."""
    return export(guided_model, tmp_path_factory.mktemp("int8") / "bundle", precision="int8")


@pytest.fixture(scope="session")
def distilled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stable Diffusion's kind: CLIP's tokenizer, noise at every step, guidance in the weights, a picture that is wider
    than high, and the stage `encode_image`."""
    config = dataclasses.replace(LCM, text=dataclasses.replace(LCM.text, vocabulary=49408))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = untrained_model(config, ClipTokenizer.from_folder(CLIP, config.text.max_tokens))
    for part in model.parts.values():
        part.requires_grad_(False)
    return export(model, tmp_path_factory.mktemp("distilled") / "bundle", images=True)


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Path]:
    """Gives a copy of a bundle that may be spoiled."""
    return lambda bundle: Path(shutil.copytree(bundle, tmp_path / "copy"))
