"""Settings files as diffusers and transformers wrote them from 2022 to 2025: opened and drawn as diffusers does today.

generations/ holds them, each written by that version itself (write_generation.py there).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import pytest
import transformers

from benchmarks.checkpoints.schedulers import options
from mobile_diffusion.checkpoint import open_source
from mobile_diffusion.formats.pipelines import PIPELINES
from mobile_diffusion.formats.scheduler import read_pipeline_schedule
from tests.mobile_diffusion.formats.conftest import Publish, copy_tree, replace
from tests.mobile_diffusion.formats.drawings import PROMPT, assert_equal, open_theirs, our_drawing, their_drawing

FILES = sorted(Path(__file__).with_name("generations").glob("*.json"))
NAMES = [file.stem for file in FILES]
WIDTHS = (
    *("block_out_channels", "norm_num_groups", "attention_head_dim", "cross_attention_dim"),
    *("hidden_size", "intermediate_size", "num_attention_heads"),
)
"""The options that make the tests' networks small; all others are those of the generation's file."""
SCHEDULER = "scheduler/scheduler_config.json"
PROMPTS = (PROMPT, "", "Café, 12 o'clock!!  don't", "<|endoftext|> a ! <|startoftext|>")


def folder_of(generation: Path, base: Path, target: Path) -> Path:
    """A copy of `base` whose settings are those of a generation, with the scheduler PNDM."""
    copy_tree(base, target)
    contents = json.loads(generation.read_text())
    contents[SCHEDULER] = contents["scheduler/PNDMScheduler/scheduler_config.json"]
    for name in [name for name in contents if not name.startswith("scheduler/") or name == SCHEDULER]:
        own = json.loads((target / name).read_text()) if name.endswith("/config.json") else {}
        replace(target / name, json.dumps({**contents[name], **{key: own[key] for key in WIDTHS if key in own}}))
    return target


@pytest.fixture(params=FILES, ids=NAMES)
def generation(request: pytest.FixtureRequest, published: Publish, tmp_path: Path) -> Path:
    return folder_of(request.param, published("sd15"), tmp_path / "folder")


def test_a_folder_is_drawn_as_diffusers_draws_it(generation: Path) -> None:
    assert_equal(our_drawing(generation, 2), their_drawing(open_theirs(generation), 2))
    assert open_source(generation).config.width == 512


def test_a_prompt_has_the_ids_of_transformers(generation: Path) -> None:
    theirs = transformers.CLIPTokenizer.from_pretrained(generation / "tokenizer")
    ours = open_source(generation).tokenizer
    for prompt in PROMPTS:
        expected = theirs(prompt, padding="max_length", truncation=True, max_length=77).input_ids
        assert ours.encode(prompt).ids.tolist() == expected


def schedulers() -> list[Any]:
    """Each scheduler file of each generation."""
    return [
        pytest.param(values, id=f"{file.stem}-{values['_class_name']}")
        for file in FILES
        for name, values in json.loads(file.read_text()).items()
        if name.startswith("scheduler/")
    ]


@pytest.mark.parametrize("values", schedulers())
def test_a_scheduler_has_the_options_that_diffusers_reads(values: dict[str, Any], tmp_path: Path) -> None:
    file, kind = tmp_path / "scheduler_config.json", values["_class_name"]
    file.write_text(json.dumps(values))
    changes = PIPELINES["StableDiffusionPipeline"].scheduler
    expected = options(read_pipeline_schedule(file, kind, changes))
    scheduler = getattr(diffusers, kind).from_config({**values, **changes})
    assert expected == {name: scheduler.config[name] for name in expected}
