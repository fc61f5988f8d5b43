"""The package of the long training: pictures unpack as they were, settings fit the recipes, results fit into pieces."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.main import get_command

from benchmarks.training.gpu import collect as collecting
from benchmarks.training.gpu.collect import collect
from benchmarks.training.gpu.pictures import pack_pictures, unpack_pictures
from benchmarks.training.gpu.run import _write_settings
from benchmarks.training.gpu.stages import SETTINGS, STAGES
from mobile_diffusion.cli.train import app
from mobile_diffusion.data import load_dataset, load_image
from mobile_diffusion.recipes.autoencoder import AutoencoderSettings
from mobile_diffusion.recipes.decoder import DecoderSettings
from mobile_diffusion.recipes.robust import RobustSettings
from mobile_diffusion.recipes.teacher_student import DistillationSettings
from mobile_diffusion.recipes.unet import UNetSettings
from mobile_diffusion.training.settings import read_settings

KINDS = {
    **{"autoencoder": AutoencoderSettings, "teacher": UNetSettings, "decoder": DecoderSettings},
    **dict.fromkeys(("robust", "slim"), RobustSettings),
    **dict.fromkeys(("16", "8", "4"), DistillationSettings),
}


def data_of(folder: Path, count: int) -> Path:
    (folder / "images").mkdir(parents=True)
    rows, random = [], np.random.default_rng(0)
    for index in range(count):
        Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / "images" / f"{index}.png")
        row = {"id": f"3d/{index}", "style": "3d", "hexcode": "1", "emoji": "x", "label": "é", "keywords": []}
        row |= {"group": "food", "family": "f", "split": "held-out" if index > 3 else "train", "package": "p"}
        rows.append(json.dumps(row | {"version": "1", "licence": "MIT", "image": f"images/{index}.png"}))
    (folder / "dataset.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def test_pictures_travel_without_loss(tmp_path: Path) -> None:
    data = data_of(tmp_path / "data", 6)
    assert pack_pictures(data, tmp_path / "packed.zip") == 6
    unpack_pictures(tmp_path / "packed.zip", tmp_path / "there")
    before, after = load_dataset(data), load_dataset(tmp_path / "there")
    assert [sample.id for sample in before] == [sample.id for sample in after]
    assert all(np.array_equal(load_image(x), load_image(y)) for x, y in zip(before, after, strict=True))


def test_a_part_of_the_pictures_has_every_split(tmp_path: Path) -> None:
    data = data_of(tmp_path / "data", 6)
    assert pack_pictures(data, tmp_path / "packed.zip", 3) == 3
    unpack_pictures(tmp_path / "packed.zip", tmp_path / "there")
    assert [sample.split for sample in load_dataset(tmp_path / "there")] == ["train", "train", "held-out"]


@pytest.mark.parametrize("scale", [1.0, 0.001])
def test_settings_of_every_stage(scale: float, tmp_path: Path) -> None:
    _write_settings(tmp_path, scale, 4 if scale < 1 else 0)
    for name, kind in KINDS.items():
        settings = read_settings(tmp_path / "settings" / f"{name}.toml", kind)
        whole = read_settings(SETTINGS / f"{name}.toml", kind)
        if scale == 1:
            assert settings == whole
        else:
            loop = settings.training.loop if isinstance(settings, RobustSettings) else settings.loop
            assert loop.steps <= 12 and loop.batch == 4
    assert {stage.settings or stage.name for stage in STAGES} == set(KINDS)


def test_stages_are_commands_of_ours() -> None:
    for stage in STAGES:
        name, *options = stage.command
        command = get_command(app).commands[name]  # type: ignore[attr-defined]
        context = command.make_context(name, ["settings.toml", *options])
        assert context.params["settings"] == Path("settings.toml")


def test_results_come_back_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "PIECE", 1 << 20)
    work, out = tmp_path / "work", tmp_path / "out"
    contents = {
        "runs/emoji-phone/unet.safetensors": b"p" * (3 << 20),
        "runs/emoji-4/unet.safetensors": b"4" * (2 << 20),
    }
    for name, content in {**contents, "runs/4/curve.jsonl": b"{}", "logs/4.log": b"x" * (2 << 20)}.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(content)
    assert collect(work, out) == 6
    pieces = [path.read_bytes() for path in sorted(out.glob("weights.tar.*"))]
    assert [len(piece) for piece in pieces] == [1 << 20] * 5
    assert collect(work, tmp_path / "rest", 5) == 6
    pieces += [path.read_bytes() for path in sorted((tmp_path / "rest").glob("weights.tar.*"))]
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        found = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert found == contents
    with tarfile.open(out / "notes.tar") as archive:
        assert archive.getnames() == ["runs/4/curve.jsonl"], "a log that is too large stays"
