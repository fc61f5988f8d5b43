"""Pictures, previews and times that only the C++ runner writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from export.artists.artist import bundle_artist
from export.bundle.bundle import open_bundle
from export.job.preview import read_preview
from export.latency.reading import parse_latency
from mobile_diffusion.drawing import draw
from tests.apps.runner.conftest import Run
from tests.apps.runner.probe import ask
from tests.apps.test_drawing import STAGES


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        image.load()
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


def test_one_stage_at_a_time_keeps_one_program(guided: Path, run: Run, tmp_path: Path) -> None:
    arguments = ("--bundle", guided, "--prompt", "a cat", "--steps-json", tmp_path / "steps.json")
    for name, options in (("all", ()), ("turn", ("--sequential",))):
        done = run(*arguments, "--out", tmp_path / f"{name}.png", *options)
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


def test_times_of_a_drawing_are_a_latency_json(guided: Path, run: Run) -> None:
    done = run("--bundle", guided, "--prompt", "a cat")
    values, report = json.loads(done.stdout), parse_latency(done.stdout, "runner")
    assert json.loads(json.dumps(report.to_dict())) == values
    (runner,) = report.runners
    assert (runner.kind, runner.version, runner.threads) == ("runtime", "1.5.1", 1)
    assert [stage.stage for stage in runner.stages] == list(STAGES)
    assert [stage.runs for stage in runner.stages] == [2, 8, 1]
    assert report.conditions.system.startswith("Linux") and report.conditions.processor


def test_previews_are_pythons(bundle: Path, run: Run, tmp_path: Path) -> None:
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


def test_pixels_are_rounded_half_to_even_and_cut(built: Path, tmp_path: Path) -> None:
    values = [-1.0, 0.0, 0.5 / 255, 1.5 / 255, 2.5 / 255, 254.5 / 255, 1.0, 2.0, 0.25, 0.75, 0.1, 0.9]
    (answer,) = ask([{"picture": [2, 2, values], "png": str(tmp_path / "a.png")}])
    assert answer == {}
    scaled = np.clip(np.array(values, np.float32), 0, 1) * np.float32(255)
    expected = np.rint(scaled).astype(np.uint8).reshape(3, 2, 2).transpose(1, 2, 0)
    assert np.array_equal(pixels(tmp_path / "a.png"), expected)


def test_a_large_picture_takes_several_stored_blocks(built: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(1).random((3, 120, 300), np.float32)
    ask([{"picture": [300, 120, values.reshape(-1).tolist()], "png": str(tmp_path / "a.png")}])
    assert np.array_equal(pixels(tmp_path / "a.png"), np.rint(values * 255).astype(np.uint8).transpose(1, 2, 0))


def test_nan_makes_no_picture(built: Path, tmp_path: Path) -> None:
    (answer,) = ask([{"picture": [2, 1, [0.5, 0.5, 0.5, 0.5, 0.5, 1e39]], "png": str(tmp_path / "a.png")}])
    assert "got 1 NaN or infinite of 6" in answer["error"] and not (tmp_path / "a.png").exists()
