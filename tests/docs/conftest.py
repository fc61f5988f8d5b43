"""A folder in which the commands of the documents run: tiny models under the names that the documents use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.checkpoints.random_weights import write_checkpoint
from mobile_diffusion.checkpoint import Model, save_checkpoint
from tests.docs.command_line import root
from tests.docs.documents import ROOT

NARROW, SIDE = 40, 8
"""What every width of Stable Diffusion 1.5 is divided by, and the side of its latents: pictures of 64 pixels."""


@pytest.fixture(scope="session")
def prepared(tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, without bundles."""
    folder = tmp_path_factory.mktemp("docs") / "a reader's folder (ü)"
    (folder / "assets").mkdir(parents=True)
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")
    save_checkpoint(tiny_model, folder / "assets" / "emoji")
    unet = write_checkpoint("sd15", folder / "stable-diffusion-v1-5", narrow=NARROW) / "unet" / "config.json"
    unet.write_text(json.dumps({**json.loads(unet.read_text()), "sample_size": SIDE}))
    return folder


@pytest.fixture
def sandbox(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder, as the current one."""
    monkeypatch.chdir(prepared)
    yield prepared


@pytest.fixture
def bundles(sandbox: Path) -> Path:
    """The folder with both bundles of the tiny model, made by the commands that the README has."""
    for target in ("ios", "android"):
        if not (sandbox / "build" / target).exists():
            words = ["export", target, "assets/emoji", "--out", f"build/{target}", "--threads", "1"]
            root().main(words, prog_name="mobile-diffusion", standalone_mode=False)
    return sandbox
