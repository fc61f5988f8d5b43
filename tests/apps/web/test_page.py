"""The page of `mobile-diffusion serve` in headless Chromium: it draws what Python draws with the same models."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.documents.browser import CHROMIUM
from benchmarks.documents.driven_page import CHECKED, DONE, PIXELS, pixels_of, served, visit
from export.artists.artist import bundle_artist
from export.bundle.adapter_files import read_adapters
from export.bundle.bundle import open_bundle
from export.job.plan import plan_export
from export.job.run import run_export
from export.parity.trajectories import Case
from export.targets import TARGETS
from mobile_diffusion.checkpoint import Model, open_checkpoint
from mobile_diffusion.decibels import psnr_db
from mobile_diffusion.drawing import Hint, Start, draw
from mobile_diffusion.shipped import shipped_model
from tests.apps.conftest import shared
from tests.apps.languages import WEB, WEB_APP, make
from tests.export.job.test_adapters import switched
from tests.export.job.test_control_nets import steered
from tests.export.job.test_picture_networks import reading

PHONE, DESK = (390, 844), (1100, 900)
PAPER = {"light": (246, 245, 242), "dark": (19, 20, 22)}
MASK = (
    "[...mask.getContext('2d').getImageData(0, 0, mask.width, mask.height).data].filter((_, place) => place % 4 === 3)"
)
CALLS = "[...document.querySelectorAll('#times tr')].map(row => row.cells[1].textContent).join()"
STRENGTH = "document.getElementById('strength-shown').textContent"
BITS_DB = 45.0
"""A picture of 8 bits in which one value of a hundred is a level off has more."""


def export_web(model: Model, out: Path, images: bool = True) -> Path:
    target = TARGETS["web"]
    plan = plan_export(model.config, target, images=images, threads=1)
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
        ("value", CALLS),
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
        *(("value", f"[...{shown}].map(each => each.title).join()"), ("value", of_series), ("value", CALLS)),
        *(("fill", "#batch", "17"), ("click", "#draw"), ("value", "document.getElementById('problem').textContent")),
    ]
    address = f"{page}?prompt=a+(red:1.4)+apple&seed=3&guidance=1.5&batch=2&prompt-syntax=a1111"
    syntax, last, names, first, calls, line = visit(address, actions).values
    assert (syntax, names) == ("(word:1.3)", "seed 3,seed 4")
    assert line == "batch: expected 1 to 16, got '17'"
    steps = open_bundle(web_bundle).settings().steps
    assert calls == f"2,{2 * steps},2"  # the two texts are encoded once
    for pixels, seed in ((first, 3), (last, 4)):
        expected = reference(web_bundle, "a (red:1.4) apple", seed, 1.5, syntax="a1111")
        assert_same(pixels_of(pixels), expected)
    assert not np.array_equal(pixels_of(last), reference(web_bundle, "a (red:1.4) apple", 4, 1.5))


@pytest.fixture
def random_picture(tmp_path: Path) -> Path:
    """A picture of the tiny models' size."""
    pixels = np.random.default_rng(3).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def image_of(path: Path) -> np.ndarray:
    """(1, 3, H, W) in [0, 1]."""
    with Image.open(path) as opened:
        return (np.asarray(opened).transpose(2, 0, 1)[None] / 255).astype(np.float32)


def painted_mask(cells: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """What the page shows as painted, one alpha per place of the latents, as the mask (1, 1, H, W) of a picture."""
    side = int(len(cells) ** 0.5)
    mask = (np.array(cells).reshape(1, 1, side, side) > 0).astype(np.float32)
    return np.kron(mask, np.ones((1, 1, size[0] // side, size[1] // side), np.float32))


def test_a_picture_to_begin_with_of_which_the_painted_part_is_drawn_anew(
    page: str, web_bundle: Path, random_picture: Path
) -> None:
    size = open_bundle(web_bundle).settings().image_shape[2:]
    actions = [
        *(("file", "#image", random_picture), ("wait", "!document.getElementById('start-panel').hidden")),
        *(("drag", "#mask", "0.9,0.9"), ("click", "#mask-clear"), ("value", STRENGTH)),
        *(("drag", "#mask", "0.1,0.2 0.7,0.2"), ("value", MASK), ("value", STRENGTH)),
        *(("fill", "#strength", "0.6"), ("click", "#draw"), ("wait", DONE), ("value", PIXELS)),
        *(("click", "#mask-clear"), ("click", "#draw"), ("wait", DONE), ("value", PIXELS)),
    ]
    unpainted, cells, painted, *drawn = visit(f"{page}?prompt=a+cat&seed=3&guidance=1.5", actions).values
    assert (unpainted, painted) == ("80 %", "100 %")
    mask = painted_mask(cells, size)
    assert mask[0, 0, size[0] // 5, : int(0.7 * size[1])].all() and not mask[..., size[0] // 2 :, :].any()
    starts = [Start(image_of(random_picture), 0.6, each) for each in (mask, None)]
    expected = [reference(web_bundle, "a cat", 3, 1.5, start=start) for start in (*starts, None)]
    assert min(np.abs(expected[0].astype(int) - each).max() for each in expected[1:]) > 5
    assert not np.array_equal(*expected[1:])
    for pixels, picture in zip(drawn, expected, strict=False):
        assert_same(pixels_of(pixels), picture)


@pytest.mark.full
def test_an_inpainting_model_reads_what_is_painted(
    site: None, tiny_model: Model, random_picture: Path, tmp_path: Path
) -> None:
    bundle = export_web(reading(tiny_model, "inpaint"), tmp_path / "web")
    actions = [
        *(("file", "#image", random_picture), ("wait", "!document.getElementById('start-panel').hidden")),
        *(("click", "#draw"), ("wait", DONE), ("value", "document.getElementById('problem').textContent")),
        *(("drag", "#mask", "0.5,0.5 0.5,0.7"), ("value", MASK)),
        *(("click", "#draw"), ("wait", DONE), ("value", PIXELS), ("click", "#clear")),
        *(("click", "#draw"), ("wait", DONE), ("value", PIXELS)),
    ]
    with served(bundle, tmp_path) as address:
        refusal, cells, anew, without = visit(f"{address}?prompt=a+cat&seed=3", actions).values
    assert refusal == "mask: expected one with the picture, as this model inpaints, got none; give it one"
    start = Start(image_of(random_picture), mask=painted_mask(cells, (32, 32)))
    expected = [reference(bundle, "a cat", 3, start=each) for each in (start, None)]
    assert np.abs(np.subtract(*(each.astype(int) for each in expected))).max() > 5
    for found, picture in zip((anew, without), expected, strict=True):
        assert_same(pixels_of(found), picture)


@pytest.mark.full
def test_a_model_that_edits_pictures(site: None, tiny_model: Model, random_picture: Path, tmp_path: Path) -> None:
    bundle = export_web(reading(tiny_model, "edit"), tmp_path / "web")
    hidden = (
        "['mask', 'strength-label', 'image-guidance-label'].map(each => document.getElementById(each).hidden).join()"
    )
    actions = [
        *(("file", "#image", random_picture), ("wait", "!document.getElementById('start-panel').hidden")),
        *(("value", hidden), ("click", "#draw"), ("wait", DONE), ("value", PIXELS)),
    ]
    with served(bundle, tmp_path) as address:
        shown, pixels = visit(f"{address}?prompt=a+cat&seed=3&guidance=4&image-guidance=2.5", actions).values
    assert shown == "true,true,false"
    start = Start(image_of(random_picture), image_guidance=2.5)
    assert_same(pixels_of(pixels), reference(bundle, "a cat", 3, 4.0, start=start))


@pytest.mark.full
def test_hints_of_control_nets(site: None, tiny_model: Model, random_picture: Path, tmp_path: Path) -> None:
    bundle = export_web(steered(tiny_model), tmp_path / "web", images=False)
    image = image_of(random_picture)
    turned = tmp_path / "turned.png"
    with Image.open(random_picture) as opened:
        opened.transpose(Image.Transpose.ROTATE_90).save(turned)
    files = [
        ("file", f"#hints li:nth-child({number}) input", path) for number, path in ((1, random_picture), (2, turned))
    ]
    loaded = "document.querySelectorAll('#hints canvas:not([hidden])').length"
    actions = [
        *(files[0], ("wait", f"{loaded} === 1"), ("click", "#draw"), ("wait", DONE)),
        *(("value", "document.getElementById('problem').textContent"), files[1], ("wait", f"{loaded} === 2")),
        ("value", "[...document.querySelectorAll('#hints output')].map(each => each.textContent).join()"),
        *(("click", "#draw"), ("wait", DONE), ("value", PIXELS)),
        *(
            ("fill", "#hints li:nth-child(2) input[type=range]", "0"),
            ("click", "#draw"),
            ("wait", DONE),
            ("value", PIXELS),
        ),
    ]
    with served(bundle, tmp_path) as address:
        refusal, scales, both, one = visit(
            f"{address}?prompt=a+cat&seed=3&hint-scale=0.9&hint-scale=1.4", actions
        ).values
    assert refusal.startswith("hint: expected 2, as this model has 2 ControlNets, got 1;") and scales == "0.9,1.4"
    other = np.ascontiguousarray(np.rot90(image, axes=(2, 3)))
    expected = [reference(bundle, "a cat", 3, hints=[Hint(image, 0.9), Hint(other, scale)]) for scale in (1.4, 0.0)]
    assert np.abs(np.subtract(*(each.astype(int) for each in expected))).max() > 5
    for found, picture in zip((both, one), expected, strict=True):
        assert_same(pixels_of(found), picture)


@pytest.mark.full
def test_adapters(site: None, tiny_model: Model, tmp_path: Path) -> None:
    bundle = export_web(switched(tiny_model, few=True), tmp_path / "web", images=False)
    slider = "#adapters li:nth-child({}) input".format
    actions = [
        ("value", "[...document.querySelectorAll('#adapters b')].map(each => each.textContent).join()"),
        ("value", "[...document.querySelectorAll('#adapters output')].map(each => each.textContent).join()"),
        *(("click", "#draw"), ("wait", DONE), ("value", PIXELS)),
        *(("fill", slider(1), "0"), ("fill", slider(2), "-0.5"), ("click", "#draw"), ("wait", DONE), ("value", PIXELS)),
    ]
    with served(bundle, tmp_path) as address:
        names, shown, first, second = visit(f"{address}?prompt=a+cat&seed=3&adapter-scale=ink=0.9", actions).values
    assert (names, shown) == ("ink,clay", "0.9,off")
    adapters = read_adapters(open_bundle(bundle))
    assert adapters is not None
    expected = [reference(bundle, "a cat", 3, adapters=adapters.at(each)) for each in ({"ink": 0.9}, {"clay": -0.5})]
    assert np.abs(np.subtract(*(each.astype(int) for each in expected))).max() > 8
    for found, picture in zip((first, second), expected, strict=True):
        assert_same(pixels_of(found), picture)


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
