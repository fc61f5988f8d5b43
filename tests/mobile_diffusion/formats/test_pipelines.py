"""The pipelines that open: what each corrects in old files is what diffusers' class of that name corrects."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import diffusers
import pytest

from mobile_diffusion.checkpoint import open_source
from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.formats.pipelines import PIPELINES
from tests.mobile_diffusion.formats.conftest import Publish, copy_tree, edit_json, replace
from tests.mobile_diffusion.formats.drawings import assert_equal, our_drawing, their_drawing

OLD: dict[str, dict[str, Any]] = {
    "DDIMScheduler": {"clip_sample": True, "steps_offset": 0},
    "PNDMScheduler": {"skip_prk_steps": False, "steps_offset": 0},
}
"""Options of 2022 that pipelines correct."""
ONE_ENCODER = [name for name in PIPELINES if "XL" not in name]
XL = [name for name in PIPELINES if "XL" in name]


def set_scheduler(folder: Path, kind: str, **values: Any) -> None:
    replace(folder / "scheduler" / "scheduler_config.json", json.dumps({"_class_name": kind, **values}))
    edit_json(folder / "model_index.json", scheduler=["diffusers", kind])


@pytest.mark.parametrize("name", ONE_ENCODER)
@pytest.mark.parametrize("kind", OLD)
def test_old_options_are_corrected_as_in_diffusers(name: str, kind: str, folder: Path) -> None:
    set_scheduler(folder, kind, **OLD[kind])
    edit_json(folder / "unet" / "config.json", sample_size=32, _diffusers_version="0.4.0")
    edit_json(folder / "model_index.json", _class_name=name)
    given = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    unet, vae = (getattr(diffusers, each) for each in ("UNet2DConditionModel", "AutoencoderKL"))
    theirs = getattr(diffusers, name)(
        unet=unet.from_pretrained(folder / "unet"),
        vae=vae.from_pretrained(folder / "vae"),
        scheduler=getattr(diffusers, kind).from_pretrained(folder / "scheduler"),
        text_encoder=None,
        tokenizer=None,
        **given,
    )
    expected = {option: theirs.scheduler.config[option] for option in OLD[kind]}
    assert {**OLD[kind], **{k: v for k, v in PIPELINES[name].scheduler.items() if k in OLD[kind]}} == expected
    if expected.get("clip_sample") or expected.get("skip_prk_steps") is False:
        with pytest.raises(CheckpointError, match="expected (False, got True|True, got False)"):
            open_source(folder)
        set_scheduler(folder, kind, **{**OLD[kind], "clip_sample": False, "skip_prk_steps": True})
    config = open_source(folder).config
    assert (config.schedule.offset, config.width) == (expected["steps_offset"], theirs.unet.config.sample_size * 8)


@pytest.mark.parametrize("name", XL)
@pytest.mark.parametrize("kind", OLD)
def test_pipelines_of_xl_correct_what_diffusers_corrects(name: str, kind: str) -> None:
    scheduler = getattr(diffusers, kind).from_config(OLD[kind])
    unet = diffusers.UNet2DConditionModel(
        **{"sample_size": 32, "block_out_channels": (32, 32), "layers_per_block": 1, "norm_num_groups": 8},
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    given = dict.fromkeys(("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"))
    theirs = getattr(diffusers, name)(unet=unet, scheduler=scheduler, **given)
    expected = {option: theirs.scheduler.config[option] for option in OLD[kind]}
    assert {**OLD[kind], **{k: v for k, v in PIPELINES[name].scheduler.items() if k in OLD[kind]}} == expected
    assert (theirs.unet.config.sample_size == 64) == PIPELINES[name].corrects_size


@pytest.mark.parametrize("name", XL)
def test_the_default_guidance_of_xl_is_that_of_diffusers(name: str) -> None:
    theirs = inspect.signature(getattr(diffusers, name).__call__).parameters["guidance_scale"].default
    assert PIPELINES[name].guidance == theirs


@pytest.mark.parametrize("name", ONE_ENCODER)
def test_the_default_guidance_is_that_of_diffusers(name: str, folder: Path) -> None:
    edit_json(folder / "model_index.json", _class_name=name)
    theirs = inspect.signature(getattr(diffusers, name).__call__).parameters["guidance_scale"].default
    assert open_source(folder, OpenOptions(solver="ddim")).config.schedule.guidance == theirs


@pytest.mark.parametrize(("version", "size"), [("0.4.0", 512), ("0.8.1", 512), ("0.9.0", 256), (..., 256)])
def test_the_size_of_folders_of_2022(version: Any, size: int, folder: Path) -> None:
    edit_json(folder / "unet" / "config.json", sample_size=32, _diffusers_version=version)
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    assert theirs.unet.config.sample_size * theirs.vae_scale_factor == size
    config = open_source(folder).config
    assert (config.height, config.width) == (size, size)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "off"),
    [
        ("StableDiffusionPAGPipeline", {"pag_scale": 0.0}),
        ("StableDiffusionSAGPipeline", {"sag_scale": 0.0}),
        ("StableDiffusionPanoramaPipeline", {}),
    ],
)
def test_special_pipelines_draw_alike_without_their_addition(
    name: str, off: dict[str, float], published: Publish, tmp_path: Path
) -> None:
    folder = copy_tree(published("sd15"), tmp_path / "sd15")
    set_scheduler(folder, "DDIMScheduler", beta_schedule="scaled_linear", clip_sample=False, steps_offset=1)
    edit_json(folder / "model_index.json", _class_name=name)
    theirs = getattr(diffusers, name).from_pretrained(folder, safety_checker=None, requires_safety_checker=False)
    assert_equal(our_drawing(folder, 3), their_drawing(theirs, 3, **off))


@pytest.mark.parametrize("entry", [..., None, ["diffusers", None]])
def test_an_index_without_a_scheduler_is_refused(entry: Any, folder: Path) -> None:
    edit_json(folder / "model_index.json", scheduler=entry)
    with pytest.raises(CheckpointError, match=r"model_index\.json: scheduler: expected a library and a class"):
        open_source(folder)
