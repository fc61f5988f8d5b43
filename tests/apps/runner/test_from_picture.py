"""Drawings of the C++ runner that start from a picture, with and without a mask, and several at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.artists.artist import bundle_artist
from export.artists.start_picture import open_start
from export.bundle.bundle import open_bundle
from mobile_diffusion.drawing import draw
from tests.apps.runner.conftest import Run, refusal
from tests.apps.runner.test_drawing import pixels

PROMPT = "a red apple"


@pytest.fixture(scope="module")
def files(distilled: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A picture with transparent pixels, and a mask in colour, each of the bundle's size."""
    *_, height, width = open_bundle(distilled).settings().image_shape
    rows, columns = np.mgrid[:height, :width]
    values = np.stack([rows * 7, columns * 3, 255 - rows * 5, 255 - (rows * columns) % 256], -1).astype(np.uint8)
    mask = np.where((columns > width // 3)[..., None], [10, 220, 30], [250, 5, 90]).astype(np.uint8)
    folder = tmp_path_factory.mktemp("pictures")
    pictures = {"picture": Image.fromarray(values), "mask": Image.fromarray(mask)}
    pictures |= {"small": pictures["mask"].resize((8, 8)), "wide": Image.fromarray(values[..., 0].astype(np.uint16))}
    for name, each in pictures.items():
        each.save(folder / f"{name}.png")
    pictures["mask"].save(folder / "photo.jpg")
    (folder / "cut.png").write_bytes((folder / "picture.png").read_bytes()[:300])
    return {path.stem: path for path in folder.iterdir()}


@pytest.mark.parametrize(("strength", "masked"), [(None, False), (0.5, False), (None, True), (0.5, True)])
def test_it_is_pythons_picture(
    strength: float | None, masked: bool, distilled: Path, files: dict[str, Path], run: Run, tmp_path: Path
) -> None:
    artist = bundle_artist(open_bundle(distilled), "xnnpack", 1)
    start = open_start(files["picture"], strength, files["mask"] if masked else None, artist.settings)
    assert start is not None and (start.mask is None or 0 < start.mask.mean() < 1)
    expected = draw(artist.run_stage, artist.tokenizer, artist.settings, PROMPT, 5, start=start)
    options = ["--image", files["picture"], "--out", tmp_path / "a.png"]
    options += ["--mask", files["mask"]] if masked else []
    options += ["--strength", strength] if strength else []
    done = run("--bundle", distilled, "--prompt", PROMPT, "--seed", 5, *options)
    assert done.returncode == 0, done.stderr
    # The transparent pixels are blended by other arithmetic than Pillow's: half a level before, a level or two after.
    assert np.abs(pixels(tmp_path / "a.png").astype(int) - expected).max() <= 2


def test_a_batch_is_the_seeds_one_by_one(distilled: Path, run: Run, tmp_path: Path) -> None:
    arguments = ("--bundle", distilled, "--prompt", PROMPT)
    recorded = ("--steps-json", tmp_path / "events")
    assert run(*arguments, "--seed", 7, "--batch", 2, "--out", tmp_path / "a.png", *recorded).returncode == 0
    events = json.loads((tmp_path / "events").read_text())["events"]
    calls = [event["stage"] for event in events if event["event"] == "run"]
    assert (calls.count("encode_text"), calls.count("decode_image")) == (1, 2)  # the text is encoded once
    assert run(*arguments, "--seed", 8, "-o", tmp_path / "one.png").returncode == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a-7.png", "a-8.png", "events", "one.png"]
    assert (tmp_path / "a-8.png").read_bytes() == (tmp_path / "one.png").read_bytes()
    assert (tmp_path / "a-7.png").read_bytes() != (tmp_path / "a-8.png").read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--image", "small"), "picture: expected"),
        (("--image", "wide"), "expected 8 bits a channel, got 16"),
        (("--image", "photo"), "expected a PNG picture"),
        (("--image", "cut"), "expected a whole PNG picture"),
        (("--image", "/nowhere"), "expected a file that can be read"),
        (("--image", "picture", "--mask", "small"), "mask: expected"),
        (("--image", "picture", "--strength", "0.01"), "strength: expected"),
        (("--image", "picture", "--strength", "1.5"), "--strength: expected 0 to 1"),
        (("--image", "picture", "--strength", "nan"), "--strength: expected 0 to 1"),
        (("--mask", "mask"), "--mask, --strength and --image-guidance: expected --image"),
        (("--seed", str(2**64 - 1), "--batch", "2"), "--batch: expected seeds"),
        (("--batch", "0"), "--batch: expected 1"),
    ],
)
def test_what_cannot_be_used(
    options: tuple[str, ...], message: str, distilled: Path, files: dict[str, Path], run: Run
) -> None:
    given = [files.get(option, option) for option in options]
    assert message in refusal(run, "--bundle", distilled, "--prompt", PROMPT, *given)


def test_a_bundle_that_cannot_start_from_a_picture(guided: Path, files: dict[str, Path], run: Run) -> None:
    line = refusal(run, "--bundle", guided, "--prompt", PROMPT, "--image", files["picture"])
    assert "picture: expected a bundle that was exported with --image-to-image" in line
