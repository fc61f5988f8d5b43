"""Shared by the tests of all languages: the languages, bundles to open, and the pictures that Python draws."""

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
from tests.apps.languages import LANGUAGES, LIBRARIES, POSIX_LOCALES, Done, Language, Library, locales_missing
from tests.tiny_models import LCM

ROOT = Path(__file__).parents[2]
CLIP = ROOT / "mobile_diffusion" / "clip_vocabulary"

CopyOf = Callable[[Path], Path]


def reference(bundle: Path, prompt: str, seed: int, guidance: float | None = None, negative: str = "") -> np.ndarray:
    """The picture of Python's ExecuTorch runner with one thread: (H, W, 3) uint8."""
    artist = bundle_artist(open_bundle(bundle), "xnnpack", 1)
    return draw(artist.run_stage, artist.tokenizer, artist.settings, prompt, seed, guidance, negative=negative)


def reseal(bundle: Path, name: str) -> None:
    """Write the present size and hash of a file into the manifest."""
    values = json.loads((bundle / "manifest.json").read_text())
    data = (bundle / name).read_bytes()
    (entry,) = (entry for entry in values["files"] if entry["path"] == name)
    entry |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (bundle / "manifest.json").write_text(json.dumps(values))


def export(model: Model, out: Path, images: bool = False, precision: str = "fp32") -> Path:
    """The bundle of a model for ExecuTorch alone."""
    target = TARGETS["android"]
    plan = plan_export(model.config, target, ("xnnpack",), images=images, threads=1, precision=precision)
    return run_export(model, target, out, cases=(Case("a red apple, 3d", 7),), plan=plan).bundle.path


def refused(done: Done) -> str:
    """The one line with which a program refused its arguments."""
    assert done.returncode == 2, (done.returncode, done.stderr)
    assert done.stdout == "" and done.stderr.count("\n") == 1 and "expected" in done.stderr
    return done.stderr


def cut(path: Path) -> None:
    """Cut off the end of a file."""
    path.write_bytes(path.read_bytes()[:-1000])


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def link(path: Path) -> None:
    """Replace a file by a link to it."""
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


DAMAGES = {
    "cut": (cut, "bytes, got"),
    "flipped": (flip, "SHA-256"),
    "lost": (Path.unlink, "expected a file, got none"),
    "linked": (link, "got a link"),
}
"""How a file is damaged, and a part of the message about it."""
NEEDED = ("denoise.pte", "encode_text.pte", "decode_image.pte", "tokenizer.json")
"""The files of a bundle that drawing needs."""


def shared(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first process of the tests makes, for all of them."""
    own = factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            make(folder)
    return folder


@pytest.fixture(scope="session")
def guided_model(tiny_model: Model) -> Model:
    """BERT's tokenizer and text encoder, classifier-free guidance, a solver with memory, two styles."""
    schedule = dataclasses.replace(tiny_model.config.schedule, solver="dpm-solver++")
    config = dataclasses.replace(tiny_model.config, schedule=schedule, styles=("3d", "flat"))
    return dataclasses.replace(tiny_model, config=config)


@pytest.fixture(scope="session")
def guided(guided_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That model in float32."""
    return shared(tmp_path_factory, "guided", lambda out: export(guided_model, out))


@pytest.fixture(scope="session")
def unguided(guided_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That model for a scale of 0: one evaluation a step."""
    schedule = dataclasses.replace(guided_model.config.schedule, guidance=0.0)
    model = dataclasses.replace(guided_model, config=dataclasses.replace(guided_model.config, schedule=schedule))
    return shared(tmp_path_factory, "unguided", lambda out: export(model, out))


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
def redrawing(guided_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guided model's bundle with the stage `encode_image`."""
    return shared(tmp_path_factory, "redrawing", lambda out: export(guided_model, out, images=True))


@pytest.fixture(params=LANGUAGES, ids=lambda language: language.name)
def language(request: pytest.FixtureRequest) -> Language:
    """Each language in turn, built; skipped with the reason where it cannot be built."""
    language: Language = request.param
    language.require()
    return language


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.name)
def library(request: pytest.FixtureRequest) -> Library:
    """Each language's library in turn, built; skipped with the reason where it cannot be built."""
    library: Library = request.param
    library.require()
    return library


@pytest.fixture(params=["guided", "distilled"])
def bundle(request: pytest.FixtureRequest) -> Path:
    """Each of the two bundles in float32."""
    return Path(request.getfixturevalue(request.param))


@pytest.fixture(scope="session")
def locale_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled locales of POSIX_LOCALES."""
    if reason := locales_missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("locales")
    for name in POSIX_LOCALES.values():
        definition, _, encoding = name.partition(".")
        subprocess.run(["localedef", "-i", definition, "-f", encoding, folder / name], check=True, capture_output=True)
    return folder


def in_locale(library: Library, name: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """An environment in which a library's programs follow another locale."""
    environment = dict(library.locales[name])
    if "LC_ALL" in environment:
        environment["LOCPATH"] = str(request.getfixturevalue("locale_folder"))
    return environment


@pytest.fixture(params=sorted(POSIX_LOCALES))
def locale(request: pytest.FixtureRequest, language: Language) -> dict[str, str]:
    """An environment in which the language's programs follow another locale."""
    return in_locale(language, request.param, request)


@pytest.fixture(params=sorted(POSIX_LOCALES))
def library_locale(request: pytest.FixtureRequest, library: Library) -> dict[str, str]:
    """The same for a library."""
    return in_locale(library, request.param, request)


@pytest.fixture
def copy_of(tmp_path: Path) -> CopyOf:
    """Returns a copy of a bundle, which a test may damage."""
    return lambda bundle: Path(shutil.copytree(bundle, tmp_path / "copy"))
