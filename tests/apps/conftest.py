"""What the apps of every language are held to: golden files, bundles to open, and what Python draws with them."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.artists.artist import bundle_artist
from export.bundle.bundle import open_bundle
from export.job.plan import plan_export
from export.job.run import run_export
from export.parity.trajectories import Case
from export.targets import TARGETS
from mobile_diffusion.checkpoint import Model, untrained_model
from mobile_diffusion.drawing import draw
from mobile_diffusion.tokenization.clip_tokenizer import ClipTokenizer
from tests.tiny_models import LCM

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "assets" / "golden"
TOKENS = ("tokens-wordpiece.json", "tokens-clip.json", "tokens-added.json")
TRAJECTORIES = ("ddim", "multistep", "lcm")
LOCALES = ("de_DE.UTF-8", "tr_TR.UTF-8", "ar_SA.UTF-8")
"""A comma in numbers; a dotless i; text from right to left and other digits."""
CLIP = ROOT / "mobile_diffusion" / "clip_vocabulary"

CopyOf = Callable[[Path], Path]


def golden(name: str) -> Any:
    """A golden file; assets/golden/README.md says what it holds."""
    return json.loads((GOLDEN / name).read_text(encoding="ascii"))


def reference(bundle: Path, prompt: str, seed: int, guidance: float | None = None, negative: str = "") -> np.ndarray:
    """What Python's ExecuTorch runner draws with one thread: (H, W, 3) uint8."""
    artist = bundle_artist(open_bundle(bundle), "xnnpack", 1)
    return draw(artist.run_stage, artist.tokenizer, artist.settings, prompt, seed, guidance, negative=negative)


def reseal(bundle: Path, name: str) -> None:
    """State the size and hash that a file has now."""
    values = json.loads((bundle / "manifest.json").read_text())
    data = (bundle / name).read_bytes()
    (entry,) = (entry for entry in values["files"] if entry["path"] == name)
    entry |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (bundle / "manifest.json").write_text(json.dumps(values))


def export(model: Model, out: Path, images: bool = False, precision: str = "fp32") -> Path:
    """The bundle of a model with ExecuTorch alone."""
    target = TARGETS["android"]
    plan = plan_export(model.config, target, ("xnnpack",), images=images, threads=1, precision=precision)
    return run_export(model, target, out, cases=(Case("a red apple, 3d", 7),), plan=plan).bundle.path


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a program has refused its arguments with."""
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert done.stdout == "" and done.stderr.count("\n") == 1 and "expected" in done.stderr
    return done.stderr


def cut(path: Path) -> None:
    """Take the end off a file."""
    path.write_bytes(path.read_bytes()[:-1000])


def flip(path: Path) -> None:
    """Turn a bit in the middle of a file around."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def link(path: Path) -> None:
    """Put a link to it in the place of a file."""
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


DAMAGES = {
    "cut": (cut, "bytes, got"),
    "flipped": (flip, "SHA-256"),
    "lost": (Path.unlink, "expected a file, got none"),
    "linked": (link, "got a link"),
}
"""What happens to a file, and what every language says of it."""
NEEDED = ("denoise.pte", "encode_text.pte", "decode_image.pte", "tokenizer.json")
"""The files of a bundle that drawing needs."""


def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first process of the tests that wants it makes, for all of them."""
    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            make(folder)
    return folder


@pytest.fixture(scope="session")
def guided_model(tiny_model: Model) -> Model:
    """BERT's tokenizer and text encoder, classifier-free guidance, a solver with memory."""
    schedule = dataclasses.replace(tiny_model.config.schedule, solver="dpm-solver++")
    return dataclasses.replace(tiny_model, config=dataclasses.replace(tiny_model.config, schedule=schedule))


@pytest.fixture(scope="session")
def guided(guided_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That model in float32."""
    return shared(tmp_path_factory, "guided", lambda out: export(guided_model, out))


@pytest.fixture(scope="session")
def half(guided_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That model with weights in half precision."""
    return shared(tmp_path_factory, "half", lambda out: export(guided_model, out, precision="fp16"))


@pytest.fixture(scope="session")
def int8(guided_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That model in 8 bits."""
    return shared(tmp_path_factory, "int8", lambda out: export(guided_model, out, precision="int8"))


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
    return shared(tmp_path_factory, "distilled", lambda out: export(model, out, images=True))


@pytest.fixture(scope="session")
def locales(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a program's environment needs to find the languages of LOCALES."""
    if shutil.which("localedef") is None or not Path("/usr/share/i18n/locales/tr_TR").is_file():
        pytest.skip(
            "no definitions of languages (Debian's package locales); apps/runner/install-tools.sh installs them"
        )
    folder = tmp_path_factory.mktemp("locales")
    for name in LOCALES:
        language, _, encoding = name.partition(".")
        subprocess.run(["localedef", "-i", language, "-f", encoding, folder / name], check=True, capture_output=True)
    return {"LOCPATH": str(folder)}


@pytest.fixture
def copy_of(tmp_path: Path) -> CopyOf:
    """Gives a copy of a bundle that may be spoiled."""
    return lambda bundle: Path(shutil.copytree(bundle, tmp_path / "copy"))
