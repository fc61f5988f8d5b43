"""A tiny data set, and a distillation's folder: a checkpoint to learn from, a run that has encoded its pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from mobile_diffusion.checkpoint import Model, open_checkpoint, save_checkpoint
from mobile_diffusion.training.latents import CACHE, origin_of


class Picture:
    """What a run has to know of a picture whose latents are in the cache."""

    id, group, family = "3d/1f34e", "food", "apple"


def origin(checkpoint: Path) -> dict[str, str]:
    """What a cache of three such pictures says of its networks."""
    model = open_checkpoint(checkpoint)
    return origin_of([Picture()] * 3, model.autoencoder, model.text_encoder)  # type: ignore[list-item]


@pytest.fixture
def encoded(tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a checkpoint "teacher" and a run "run" of three pictures."""
    save_checkpoint(tiny_model, tmp_path / "teacher")
    monkeypatch.setattr("mobile_diffusion.training.checkpoints.choose_samples", lambda *given: [Picture()] * 3)
    (tmp_path / "run").mkdir()
    generator = torch.Generator().manual_seed(1)
    tensors = {
        "latents": torch.randn(3, *tiny_model.config.latent_shape[1:], generator=generator),
        "contexts": torch.randn(4, *tiny_model.config.context_shape[1:], generator=generator).half(),
        "first_caption": torch.tensor([1, 2, 3]),
        "caption_count": torch.tensor([1, 1, 1]),
    }
    save_file(tensors, tmp_path / "run" / CACHE, origin(tmp_path / "teacher"))
    return tmp_path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve pictures, two of them held out, in the stored format."""
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    rows = []
    for index in range(12):
        picture = Image.new("RGB", (128, 128), "white")
        shape = ImageDraw.Draw(picture).ellipse if index % 2 else ImageDraw.Draw(picture).rectangle
        shape((20, 20, 60 + 4 * index, 100), fill=(20 * index, 90, 200))
        picture.save(folder / "images" / f"{index}.png")
        sample = {
            "id": f"3d/{index}",
            "style": "3d",
            "hexcode": f"{index}",
            "emoji": "x",
            "label": "disc" if index % 2 else "square",
            "keywords": ["shape"] * (index % 3),
            "group": "symbols" if index == 0 else "objects",
            "family": f"family {index // 4}",
            "split": "held-out" if index >= 10 else "train",
            "package": "drawn",
            "version": "1",
            "licence": "MIT",
            "image": f"images/{index}.png",
        }
        rows.append(json.dumps(sample))
    (folder / "dataset.jsonl").write_text("\n".join(rows) + "\n")
    return folder
