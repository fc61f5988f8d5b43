"""One export of the tiny model to both targets, which many tests share; whoever changes a bundle copies it first."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from export.parity.trajectories import Case
from export.run import Exported, export_target
from export.targets import TARGETS
from mobile_diffusion.checkpoint import Model, open_checkpoint, save_checkpoint

CASES = (Case("a red apple, 3d", 7), Case("", 2**64 - 1))


@pytest.fixture(scope="session")
def tiny_checkpoint(tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as a checkpoint folder."""
    path = tmp_path_factory.mktemp("checkpoint") / "tiny"
    save_checkpoint(tiny_model, path)
    return path


@pytest.fixture(scope="session")
def exported(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Exported]:
    """Target to its export, made once a session; do not change the folders."""
    folder, model = tmp_path_factory.mktemp("bundles"), open_checkpoint(tiny_checkpoint)
    return {
        name: export_target(model, target, folder / name, cases=CASES, threads=1) for name, target in TARGETS.items()
    }


@pytest.fixture
def copy_of(exported: Mapping[str, Exported], tmp_path: Path) -> Callable[[str], Path]:
    """Gives a copy of a target's bundle that may be spoiled."""
    return lambda target: Path(shutil.copytree(exported[target].bundle.path, tmp_path / target))


@pytest.fixture(params=["1m"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of a given size; needs root, and the right to mount."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root; RLIMIT_FSIZE is tested for everybody")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", str(tmp_path)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("this machine does not let root mount; RLIMIT_FSIZE is tested for everybody")
    yield tmp_path
    subprocess.run(["umount", str(tmp_path)], check=True)
