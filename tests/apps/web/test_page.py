"""The page of `mobile-diffusion serve` in headless Chromium: it draws what Python draws with the same models."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.documents.browser import CHROMIUM
from benchmarks.documents.driven_page import CHECKED, DONE, PIXELS, pixels_of, served, visit
from export.artists.artist import bundle_artist
from export.bundle.bundle import open_bundle
from export.job.plan import plan_export
from export.job.run import run_export
from export.parity.trajectories import Case
from export.targets import TARGETS
from mobile_diffusion.checkpoint import Model, open_checkpoint
from mobile_diffusion.decibels import psnr_db
from mobile_diffusion.drawing import Start, draw
from mobile_diffusion.shipped import shipped_model
from tests.apps.conftest import shared
from tests.apps.languages import WEB, WEB_APP, make

PHONE, DESK = (390, 844), (1100, 900)
PAPER = {"light": (246, 245, 242), "dark": (19, 20, 22)}
BITS_DB = 45.0
"""A picture of 8 bits in which one value of a hundred is a level off has more."""


def export_web(model: Model, out: Path) -> Path:
    target = TARGETS["web"]
    plan = plan_export(model.config, target, images=True, threads=1)
    return run_export(model, target, out, cases=(Case("a red apple, 3d", 7),), plan=plan).bundle.path


@pytest.fixture(scope="session")
def web_bundle(tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with guidance in two evaluations and the stage `encode_image`."""
    schedule = dataclasses.replace(tiny_model.config.schedule, solver="dpm-solver++")
    config = dataclasses.replace(tiny_model.config, schedule=schedule, styles=("3d", "flat"))
    model = dataclasses.replace(tiny_model, config=config)
    return shared(tmp_path_factory, "web", lambda out: export_web(model, out))


@pytest.fixture(scope="session")
def site() -> None:
    """The page, built; skipped with the reason where it cannot be."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    WEB.require()
    make(WEB_APP, "site")


@pytest.fixture
def page(web_bundle: Path, site: None, tmp_path: Path) -> Iterator[str]:
    """The address of the page with that bundle."""
    with served(web_bundle, tmp_path) as address:
        yield address


def reference(bundle: Path, prompt: str, seed: int, guidance: float | None = None, **given: object) -> np.ndarray:
    artist = bundle_artist(open_bundle(bundle), "onnx", 1)
    return draw(artist.run_stage, artist.tokenizer, artist.settings, prompt, seed, guidance, **given)  # type: ignore[arg-type]


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal but for values that lie between two levels."""
    assert found.shape == expected.shape and expected.std() > 1
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert psnr_db(expected / 255.0, found / 255.0) > BITS_DB


def test_a_drawing_is_pythons_and_every_golden_check_passes(page: str, web_bundle: Path, tmp_path: Path) -> None:
    actions = [
        ("fill", "#negative", "a dog"),
        ("click", "#draw"),
        ("wait", DONE),
        ("value", PIXELS),
        ("value", "crossOriginIsolated"),
        ("value", "document.querySelectorAll('#steps .made').length"),
        ("value", "[...document.querySelectorAll('#times tr')].map(row => row.cells[1].textContent).join()"),
        ("download", "#save", tmp_path / "saved.png"),
        ("click", "#check"),
        ("wait", f"{CHECKED} && /passed|failed$/.test(document.getElementById('verdict').textContent)"),
        ("value", "document.getElementById('verdict').textContent"),
        ("value", "[...document.querySelectorAll('#check-rows .name')].map(cell => cell.textContent).join()"),
    ]
    found = visit(f"{page}?prompt=a+cat&seed=18446744073709551615&guidance=2.5", actions)
    pixels, isolated, steps, calls, name, verdict, checks = found.values
    expected = reference(web_bundle, "a cat", 2**64 - 1, 2.5, negative="a dog")
    assert_same(pixels_of(pixels), expected)
    settings = open_bundle(web_bundle).settings()
    assert (isolated, steps, calls) == (True, settings.steps, f"2,{settings.steps},1")
    with Image.open(tmp_path / "saved.png") as saved:
        assert np.array_equal(np.asarray(saved.convert("RGB")), pixels_of(pixels))
    assert name == "a-cat-18446744073709551615.png"
    assert verdict.endswith("comparisons passed") and found.complaints == []
    assert set(checks.split(",")) == {
        *("tokens", "encode text", "encode image", "denoise", "free running", "decode image", "picture")
    }


def test_styles_are_the_models_and_the_prompt_is_sent_as_typed_without_one(page: str, web_bundle: Path) -> None:
    chips = "[...document.querySelectorAll('#styles button')]"
    actions = [
        *(("wait", f"{chips}.length === 3"), ("value", f"{chips}.map(each => each.textContent).join()")),
        *(("click", "#draw"), ("wait", DONE), ("value", PIXELS)),
        *(("click", "#styles button[data-value=flat]"), ("click", "#draw"), ("wait", DONE), ("value", PIXELS)),
    ]
    names, plain, flat = visit(f"{page}?prompt=a+cat&seed=3&guidance=1.5", actions).values
    assert names == "none,3d,flat"
    assert_same(pixels_of(plain), reference(web_bundle, "a cat", 3, 1.5))
    assert_same(pixels_of(flat), reference(web_bundle, "a cat, flat", 3, 1.5))
    assert not np.array_equal(pixels_of(plain), pixels_of(flat))


def test_a_series_with_weights(page: str, web_bundle: Path) -> None:
    shown = "document.querySelectorAll('#series canvas')"
    of_series = PIXELS.replace("canvas.", f"{shown}[0].")
    actions = [
        ("value", "document.querySelector('#prompt-syntax [aria-checked=true]').textContent"),
        *(("click", "#draw"), ("wait", DONE), ("value", PIXELS)),
        *(("value", f"[...{shown}].map(each => each.title).join()"), ("value", of_series)),
        *(("fill", "#batch", "17"), ("click", "#draw"), ("value", "document.getElementById('problem').textContent")),
    ]
    address = f"{page}?prompt=a+(red:1.4)+apple&seed=3&guidance=1.5&batch=2&prompt-syntax=a1111"
    syntax, last, names, first, line = visit(address, actions).values
    assert (syntax, names) == ("(word:1.3)", "seed 3,seed 4")
    assert line == "batch: expected 1 to 16, got '17'"
    for pixels, seed in ((first, 3), (last, 4)):
        expected = reference(web_bundle, "a (red:1.4) apple", seed, 1.5, syntax="a1111")
        assert_same(pixels_of(pixels), expected)
    assert not np.array_equal(pixels_of(last), reference(web_bundle, "a (red:1.4) apple", 4, 1.5))


def test_a_picture_to_begin_with(page: str, web_bundle: Path, tmp_path: Path) -> None:
    settings = open_bundle(web_bundle).settings()
    *_, height, width = settings.image_shape
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "start.png")
    actions = [
        ("file", "#image", tmp_path / "start.png"),
        ("wait", "!document.getElementById('start').hidden"),
        ("click", "#draw"),
        ("wait", DONE),
        ("value", PIXELS),
    ]
    found = visit(f"{page}?prompt=a+cat&seed=3&strength=0.6&guidance=1.5", actions)
    image = (pixels.transpose(2, 0, 1)[None] / 255).astype(np.float32)
    expected = reference(web_bundle, "a cat", 3, 1.5, start=Start(image, 0.6))
    assert not np.array_equal(expected, reference(web_bundle, "a cat", 3, 1.5))
    assert_same(pixels_of(found.values[0]), expected)


def test_what_cannot_be_drawn_is_one_line(page: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture", encoding="utf-8")
    said = ("value", "document.getElementById('problem').textContent")
    actions = [
        *(("fill", "#seed", "-1"), ("click", "#draw"), said),
        *(("file", "#image", tmp_path / "notes.txt"), ("wait", "/picture/.test(problem.textContent)"), said),
        *(("fill", "#seed", "1"), ("fill", "#prompt", "🍎"), ("click", "#draw"), ("wait", DONE), said),
    ]
    seed, picture, prompt = visit(page, actions).values
    assert seed == "seed: expected a number from 0 to 18446744073709551615, got '-1'; the dice give one"
    assert picture == "image: expected a picture, got 'notes.txt'; choose a PNG or JPEG file"
    assert prompt == "the model knows no word of the prompt: the picture is any picture; use other words"


@pytest.mark.parametrize(
    ("size", "theme"),
    [
        pytest.param(PHONE, "dark", id="phone, dark"),
        pytest.param(DESK, "light", id="desk, light"),
        pytest.param(PHONE, "light", id="phone, light", marks=pytest.mark.full),
        pytest.param(DESK, "dark", id="desk, dark", marks=pytest.mark.full),
    ],
)
def test_it_fits_the_window_by_day_and_night(page: str, size: tuple[int, int], theme: str, tmp_path: Path) -> None:
    shot = tmp_path / "page.png"
    actions = [("shot", shot), ("value", "document.documentElement.scrollWidth")]
    assert visit(page, actions, size, theme).values == [size[0]]
    with Image.open(shot) as opened:
        assert opened.convert("RGB").getpixel((0, 0)) == PAPER[theme]


@pytest.mark.full
def test_the_shipped_model_draws_pythons_picture(site: None, tmp_path: Path) -> None:
    bundle = export_web(open_checkpoint(shipped_model()), tmp_path / "web")
    with served(bundle, tmp_path) as address:
        actions = [("click", "#draw"), ("wait", DONE), ("value", PIXELS)]
        found = visit(f"{address}?prompt=red+apple,+3d&seed=3", actions)
    assert_same(pixels_of(found.values[0]), reference(bundle, "red apple, 3d", 3))
