"""Evaluating checkpoints and bundles: the same lines draw both; what is written and what is refused."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.artists.artist import open_artist
from export.cli import main
from export.job.run import Exported
from export.studies import evaluate as evaluate_module
from export.studies.evaluate import TRAINING, find_training, reconstruction
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.quality import Networks, open_inception
from mobile_diffusion.quality.retrieval import Head, Retrieval
from mobile_diffusion.quality.sentences import Sentences
from mobile_diffusion.shipped import shipped_model
from tests.mobile_diffusion.quality.shapes import write_shapes

LABELS = ("red apple", "pizza", "lion", "koala", "melon", "onion", "house")

Evaluate = Callable[..., tuple[int, str, str]]


class MeanDifference(nn.Module):
    """Stands for LPIPS, whose weights are fetched."""

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        return (images - others).abs().mean(dim=(1, 2, 3))


def many_pixels(images: Tensor) -> Tensor:
    return F.interpolate(images, (20, 22)).flatten(1)[:, :1280]


def few_pixels(images: Tensor) -> Tensor:
    return F.interpolate(images, (4, 4), mode="area").flatten(1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shapes"
    write_shapes(folder)
    return folder


@pytest.fixture(scope="module")
def trained_checkpoint(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model beside the settings of the emoji model's training."""
    folder = tmp_path_factory.mktemp("trained") / "tiny"
    shutil.copytree(tiny_checkpoint, folder)
    (folder / TRAINING).parent.mkdir()
    shutil.copy(shipped_model() / TRAINING, folder / TRAINING)
    return folder


@pytest.fixture
def evaluate(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Evaluate]:
    """Runs `mobile-diffusion evaluate` with small metric networks; returns status, stdout and stderr."""
    torch.manual_seed(0)
    embedder = Sentences()
    candidates = dict(zip(LABELS, embedder.embed(LABELS), strict=True))
    retrieval = Retrieval(many_pixels, Head(32), embedder, candidates, embedder.embed(["a picture"]))
    networks = Networks(few_pixels, retrieval)
    monkeypatch.setattr(Networks, "open", classmethod(lambda cls: networks))
    monkeypatch.setattr(evaluate_module, "load_lpips", lambda folder: MeanDifference())
    threads = torch.get_num_threads()

    def run(*words: str) -> tuple[int, str, str]:
        base = ["--data", str(data), "--out", str(tmp_path / "out"), "--count", "2", "--seeds", "2", "--threads", "1"]
        monkeypatch.setattr(sys, "argv", ["mobile-diffusion", "evaluate", *base, *words])
        with pytest.raises(SystemExit) as end:
            main.main()
        captured = capsys.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    yield run
    torch.set_num_threads(threads)


def test_checkpoint(evaluate: Evaluate, trained_checkpoint: Path, tmp_path: Path) -> None:
    status, out, err = evaluate(str(trained_checkpoint), "--steps", "2", "--guidance", "1.5")
    assert status == 0, err
    for words in ("training", "held-out", "combinations", "real pictures", "2 steps, guidance 1.5", "PSNR"):
        assert words in " ".join(out.split()), out
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert [each["name"] for each in found["sets"]] == ["training", "held-out", "combinations"]
    assert found["conditions"]["steps"] == 2 and found["conditions"]["guidance"] == 1.5
    assert found["conditions"]["trained_on"]["styles"] == ["3d"]
    assert found["decoder"]["pictures"] == 3
    assert found["conditions"]["seconds_per_picture"] > 0
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {
        "training.png",
        "held-out.png",
        "combinations.png",
    }


def test_bundle_has_the_figures_of_its_checkpoint(
    evaluate: Evaluate, trained_checkpoint: Path, exported: Mapping[str, Exported], tmp_path: Path
) -> None:
    """In single precision its pictures are the checkpoint's to a grey level, and so are its figures."""
    evaluate(str(trained_checkpoint))
    expected = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    training = ("--training", str(trained_checkpoint / TRAINING))
    status, _, err = evaluate(str(exported["android"].bundle.path), *training)
    assert status == 0, err
    found = json.loads((tmp_path / "out" / "evaluation.json").read_text(encoding="utf-8"))
    assert found["conditions"]["source_sha256"] == expected["conditions"]["source_sha256"]
    assert found["conditions"]["drawn_by"] != expected["conditions"]["drawn_by"]
    for one, other in zip(found["sets"], expected["sets"], strict=True):
        assert one["quality"]["kid"]["value"] == pytest.approx(other["quality"]["kid"]["value"], rel=0.02, abs=1e-5)
        assert one["real"] == other["real"]
    assert found["decoder"] is None  # the bundle was exported without encode_image


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--count", "1"), "count: expected 2 or more"),
        (("--training", "absent.json"), "absent.json: expected the settings of a training run"),
        (("--runtime", "onnx"), "expected a --bundle"),
    ],
)
def test_refusals_are_one_line(
    evaluate: Evaluate, trained_checkpoint: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    status, _, err = evaluate(str(trained_checkpoint), *words)
    errors = [line for line in err.splitlines() if line.startswith("error:")]
    assert status == 2 and len(errors) == 1 and message in errors[0], err
    assert not (tmp_path / "out").exists()


def test_training_is_found_or_asked_for(tiny_checkpoint: Path, trained_checkpoint: Path) -> None:
    assert find_training(str(trained_checkpoint)) == trained_checkpoint / TRAINING
    with pytest.raises(ConfigError, match="give them with --training"):
        find_training(str(tiny_checkpoint))


def test_training_of_a_bundle_is_that_of_the_checkpoint_it_came_from(
    exported: Mapping[str, Exported], trained_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = str(exported["android"].bundle.path)
    monkeypatch.setattr(evaluate_module, "shipped_model", lambda: trained_checkpoint)
    assert find_training(bundle) == trained_checkpoint / TRAINING
    monkeypatch.setattr(evaluate_module, "shipped_model", shipped_model)  # another model's
    with pytest.raises(ConfigError, match="give them with --training"):
        find_training(bundle)


def test_reconstruction_is_the_autoencoders(tiny_checkpoint: Path, tiny_model: Model) -> None:
    artist = open_artist(str(tiny_checkpoint), None)
    way = reconstruction(artist, (1, 3, 32, 32))
    image = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert way is not None
    pipeline = Pipeline(tiny_model)
    expected = pipeline.decode_image(pipeline.encode_image(image))
    assert np.abs(way(image).numpy() - expected.numpy()).max() < 1e-2  # the checkpoint is in half precision
    assert reconstruction(artist, (1, 3, 64, 64)) is None


def test_networks_as_installed() -> None:
    networks = Networks.open()
    images = torch.rand(2, 3, 16, 16)
    assert networks.inception(images).shape == (2, 2048)
    torch.testing.assert_close(networks.inception(images), open_inception()(images))
    assert networks.retrieval.score(images, ["red apple, 3d", "house"]).candidates > 1000
