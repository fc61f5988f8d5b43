"""Checkpoints of random weights, written by diffusers and transformers, shared by the tests of all formats."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.checkpoints.random_weights import write_checkpoint

NARROW = 16
"""Every width is a sixteenth: a Stable Diffusion 1.5 of 6 million parameters, half of them its vocabulary's."""
Publish = Callable[..., Path]


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Publish:
    """Folder of a named architecture; written once a session and option, so do not change it."""
    root, made = tmp_path_factory.mktemp("published"), dict[str, Path]()

    def publish(name: str, **options: Any) -> Path:
        key = "-".join([name, *(f"{option}-{value}" for option, value in options.items())])
        if key not in made:
            made[key] = write_checkpoint(name, root / key, narrow=NARROW, **options)
        return made[key]

    return publish


@pytest.fixture
def folder(published: Publish, tmp_path: Path) -> Path:
    """A diffusers folder that a test may change by `replace`: BK-SDM-tiny, the smallest."""
    return copy_tree(published("bk-sdm-tiny"), tmp_path / "bk-sdm-tiny")


def copy_tree(source: Path, target: Path) -> Path:
    """A copy whose files are links: change none in place."""
    shutil.copytree(source, target, copy_function=os.link)
    return target


def replace(file: Path, content: bytes | str) -> None:
    """Replace the content of a file that may be a link."""
    file.unlink(missing_ok=True)
    file.write_bytes(content.encode() if isinstance(content, str) else content)


def edit_json(file: Path, **changes: Any) -> None:
    """Change values of a JSON object; those set to `...` are removed."""
    values = {**json.loads(file.read_text()), **changes}
    replace(file, json.dumps({name: value for name, value in values.items() if value is not ...}))
