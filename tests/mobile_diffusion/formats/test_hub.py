"""Models on the hub, without a network: from a cache that was filled before, and in one line without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest

from mobile_diffusion.checkpoint import open_checkpoint, open_source
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.hub import choose_files, is_identifier
from mobile_diffusion.formats.open_options import OpenOptions
from tests.mobile_diffusion.formats.conftest import Publish

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PARTS = ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model")
SETTINGS = ["model_index.json", "unet/config.json", "tokenizer/merges.txt"]


@pytest.fixture
def cache(published: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with one model in it, in huggingface_hub's layout, and no network."""
    repository = tmp_path / "cache" / "models--someone--bk-sdm-tiny"
    snapshot = repository / "snapshots" / COMMIT
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "blobs").mkdir()
    for index, file in enumerate(sorted(published("bk-sdm-tiny").rglob("*.*"))):
        target = snapshot / file.relative_to(published("bk-sdm-tiny"))
        blob = repository / "blobs" / str(index)
        shutil.copyfile(file, blob)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(os.path.relpath(blob, target.parent))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def test_a_cached_model_opens_offline(cache: Path, published: Publish, caplog: pytest.LogCaptureFixture) -> None:
    model = open_checkpoint("someone/bk-sdm-tiny")
    local = open_source(published("bk-sdm-tiny"))
    assert model.config == local.config and model.source_hash == local.source_hash
    assert model.path == cache / "models--someone--bk-sdm-tiny" / "snapshots" / COMMIT
    assert "using what is cached" in caplog.text


@pytest.mark.parametrize("identifier", ["someone/else", "some.one/El_se-2"])
def test_offline_without_cache_is_one_line(cache: Path, identifier: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        open_source(identifier)
    message = str(caught.value)
    assert message.startswith(f"{identifier}: expected a local path or a model on the hub")
    assert message.endswith("give a local folder or file, or go online") and "\n" not in message


def test_what_the_cache_lacks_is_named(cache: Path) -> None:
    (next(cache.rglob("unet/*.safetensors"))).unlink()
    with pytest.raises(CheckpointError, match="expected weights, got no such file"):
        open_source("someone/bk-sdm-tiny")


def test_the_environment_variables_of_the_library(cache: Path) -> None:
    code = "from mobile_diffusion.formats.hub import fetch; print(fetch('someone/bk-sdm-tiny'))"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).name == COMMIT


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("runwayml/stable-diffusion-v1-5", True),
        ("a/b", True),
        ("./a/b", False),
        ("/a/b", False),
        ("a", False),
        ("a/b/c", False),
        ("../a", False),
        ("mobile_diffusion/formats", False),
    ],
)
def test_what_is_an_identifier(text: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[3])
    assert is_identifier(text) == expected


def weights(*endings: str) -> list[str]:
    return [part + ending for part in PARTS for ending in endings]


@pytest.mark.parametrize(
    ("there", "variant", "taken"),
    [
        ([".safetensors"], None, [".safetensors"]),
        ([".safetensors", ".fp16.safetensors"], None, [".safetensors"]),
        ([".safetensors", ".fp16.safetensors"], "fp16", [".fp16.safetensors"]),
        ([".fp16.safetensors"], None, [".fp16.safetensors"]),
        ([".non_ema.safetensors", ".fp16.safetensors"], None, [".fp16.safetensors"]),
        (
            [".safetensors.index.json", "-00001-of-00002.safetensors", "-00002-of-00002.safetensors"],
            None,
            [".safetensors.index.json", "-00001-of-00002.safetensors", "-00002-of-00002.safetensors"],
        ),
        (
            [".safetensors", ".safetensors.index.fp16.json", ".fp16-00001-of-00001.safetensors"],
            "fp16",
            [".safetensors.index.fp16.json", ".fp16-00001-of-00001.safetensors"],
        ),
    ],
)
def test_one_variant_is_fetched(there: list[str], variant: str | None, taken: list[str]) -> None:
    chosen = choose_files("a/b", [*SETTINGS, *weights(*there)], variant)
    assert sorted(chosen) == sorted([*SETTINGS, *weights(*taken)])


def test_a_model_of_pickles_alone_is_not_fetched() -> None:
    with pytest.raises(CheckpointError, match="a/b: unet: expected safetensors, got none"):
        choose_files("a/b", SETTINGS, None)
    with pytest.raises(CheckpointError, match="got one without model_index.json"):
        choose_files("a/b", ["v1-5-pruned.safetensors"], None)


def test_a_variant_that_is_not_there_is_named() -> None:
    with pytest.raises(CheckpointError, match="expected variant 'bf16' of the weights, got the plain one"):
        choose_files("a/b", [*SETTINGS, *weights(".safetensors")], "bf16")


def test_a_variant_of_one_component_is_fetched_beside_plain_ones() -> None:
    there = [*weights(".safetensors"), f"{PARTS[0]}.fp16.safetensors"]
    chosen = choose_files("a/b", [*SETTINGS, *there], "fp16")
    parts = [f"{PARTS[0]}.fp16.safetensors", *(f"{part}.safetensors" for part in PARTS[1:])]
    assert sorted(chosen) == sorted([*SETTINGS, *parts])


def test_options_of_other_formats_are_refused(cache: Path) -> None:
    with pytest.raises(ConfigError, match="option tokenizer: expected none"):
        open_source("someone/bk-sdm-tiny", OpenOptions(tokenizer=Path("tokenizer")))


def test_folders_of_the_cache_have_the_name_of_the_model(cache: Path, published: Publish) -> None:
    repository, expected = cache / "models--someone--bk-sdm-tiny", open_source(published("bk-sdm-tiny"))
    for folder in (repository, repository / "snapshots" / COMMIT):
        opened = open_source(folder)
        assert opened.config == expected.config and opened.source_hash == expected.source_hash
    (repository / "refs" / "main").unlink()
    assert open_source(repository).config.name == "bk-sdm-tiny"
    (repository / "snapshots" / "other").mkdir()
    with pytest.raises(CheckpointError, match="expected the snapshot of main, or a single one, got 0123456789abcdef"):
        open_source(repository)


def test_sdxls_second_encoder_is_fetched_where_there_is_one() -> None:
    first = [*SETTINGS, *(f"{part}.safetensors" for part in PARTS)]
    second = ["tokenizer_2/merges.txt", "text_encoder_2/config.json"]
    weights = [f"text_encoder_2/model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = "text_encoder_2/model.safetensors.index.json"
    assert set(choose_files("some/xl", [*first, *second, *weights, index], None)) == {*first, *second, *weights, index}
    with pytest.raises(CheckpointError, match="text_encoder_2: expected safetensors, got none"):
        choose_files("some/xl", [*first, *second], None)
    assert set(choose_files("some/sd", first, None)) == set(first)
