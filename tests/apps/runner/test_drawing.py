"""The runner draws what Python's ExecuTorch runner draws, byte for byte, and says how long it took."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.artists.artist import bundle_artist
from export.bundle.bundle import open_bundle
from export.job.preview import read_preview
from export.latency.reading import parse_latency
from mobile_diffusion.drawing import draw
from tests.apps.conftest import reference
from tests.apps.runner.conftest import Ask, Run

STAGES = ("encode_text", "denoise", "decode_image")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        image.load()
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


@pytest.fixture(params=["guided", "distilled"])
def bundle(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("prompt", "seed"), [("a red apple, 3d", 7), ("", 2**64 - 1), ("İstanbul 🍎 " * 40, 2**32)])
def test_the_picture_is_pythons(prompt: str, seed: int, bundle: Path, run: Run, tmp_path: Path) -> None:
    done = run("--bundle", bundle, "--prompt", prompt, "--seed", seed, "--image", tmp_path / "a.png")
    assert done.returncode == 0, done.stderr
    expected = reference(bundle, prompt, seed)
    assert expected.std() > 1, "a picture of one colour proves nothing"
    assert np.array_equal(pixels(tmp_path / "a.png"), expected)
    assert ("its end is ignored" in done.stderr) == (len(prompt) > 100)
    assert done.stderr.count("\n") <= 1


def test_guidance_and_negative_prompt(guided: Path, run: Run, tmp_path: Path) -> None:
    arguments = ("--bundle", guided, "--prompt", "a cat", "--seed", 3, "--image", tmp_path / "a.png")
    done = run(*arguments, "--guidance", "1.5", "--negative", "a dog")
    assert done.returncode == 0, done.stderr
    expected = reference(guided, "a cat", 3, 1.5, "a dog")
    assert np.array_equal(pixels(tmp_path / "a.png"), expected)
    assert not np.array_equal(reference(guided, "a cat", 3), expected)


def test_stages_in_turn_draw_the_same_and_hold_one_program(guided: Path, run: Run, tmp_path: Path) -> None:
    arguments = ("--bundle", guided, "--prompt", "a cat", "--steps-json", tmp_path / "steps.json")
    for name, options in (("all", ()), ("turn", ("--sequential",))):
        done = run(*arguments, "--image", tmp_path / f"{name}.png", *options)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "all.png").read_bytes() == (tmp_path / "turn.png").read_bytes()
    events = json.loads((tmp_path / "steps.json").read_text())["events"]
    order = [(event["event"], event["stage"]) for event in events]
    runs = {"encode_text": 2, "denoise": 8, "decode_image": 1}
    expected = []
    for stage in STAGES:
        expected += [("load", stage), *[("run", stage)] * runs[stage], ("unload", stage)]
    assert order == expected[:-1], "the last program is not dropped before the end"
    assert [event["step"] for event in events if "step" in event] == list(range(8))
    assert all(event["ms"] >= 0 and event["peak_kb"] >= event["resident_kb"] > 1000 for event in events)
    assert all(event["resident_kb"] >= event["anonymous_kb"] + event["mapped_kb"] - 64 for event in events)


@pytest.mark.parametrize(("options", "counts"), [((), [2, 8, 1]), (("--benchmark", "3"), [3, 3, 3])])
def test_times_are_a_latency_json(options: tuple[str, ...], counts: list[int], guided: Path, run: Run) -> None:
    done = run("--bundle", guided, "--prompt", "a cat", *options)
    values, report = json.loads(done.stdout), parse_latency(done.stdout, "runner")
    assert json.loads(json.dumps(report.to_dict())) == values
    (runner,) = report.runners
    assert (runner.kind, runner.version, runner.threads) == ("runtime", "1.5.1", 1)
    assert [stage.stage for stage in runner.stages] == list(STAGES)
    assert [stage.runs for stage in runner.stages] == counts
    assert report.conditions.system.startswith("Linux") and report.conditions.processor


@pytest.mark.parametrize("name", ["guided", "distilled"])
def test_previews_are_pythons(name: str, run: Run, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    bundle = request.getfixturevalue(name)
    artist, preview = bundle_artist(open_bundle(bundle), "xnnpack", 1), read_preview(bundle)
    shown: list[np.ndarray] = []
    draw(
        artist.run_stage,
        artist.tokenizer,
        artist.settings,
        "a cat",
        5,
        on_step=lambda step, latents: shown.append(preview(latents[0])),
    )
    done = run("--bundle", bundle, "--prompt", "a cat", "--seed", 5, "--previews", tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.iterdir())) == len(shown) == artist.settings.steps
    for number, expected in enumerate(shown, 1):
        assert np.array_equal(pixels(tmp_path / f"step-{number}.png"), expected)


def test_pixels_are_rounded_half_to_even_and_cut(ask: Ask, tmp_path: Path) -> None:
    values = [-1.0, 0.0, 0.5 / 255, 1.5 / 255, 2.5 / 255, 254.5 / 255, 1.0, 2.0, 0.25, 0.75, 0.1, 0.9]
    (answer,) = ask([{"picture": [2, 2, values], "png": str(tmp_path / "a.png")}])
    assert answer == {}
    scaled = np.clip(np.array(values, np.float32), 0, 1) * np.float32(255)
    expected = np.rint(scaled).astype(np.uint8).reshape(3, 2, 2).transpose(1, 2, 0)
    assert np.array_equal(pixels(tmp_path / "a.png"), expected)


def test_a_large_picture_takes_several_stored_blocks(ask: Ask, tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((3, 120, 300), np.float32)
    ask([{"picture": [300, 120, values.reshape(-1).tolist()], "png": str(tmp_path / "a.png")}])
    assert np.array_equal(pixels(tmp_path / "a.png"), np.rint(values * 255).astype(np.uint8).transpose(1, 2, 0))


def test_nan_makes_no_picture(ask: Ask, tmp_path: Path) -> None:
    (answer,) = ask([{"picture": [2, 1, [0.5, 0.5, 0.5, 0.5, 0.5, 1e39]], "png": str(tmp_path / "a.png")}])
    assert "got 1 NaN or infinite of 6" in answer["error"] and not (tmp_path / "a.png").exists()
