"""Every language draws the pictures of Python's ExecuTorch runner, byte for byte, and measures its times."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from export.artists.artist import bundle_artist
from export.bundle.bundle import open_bundle
from export.latency.reading import parse_latency
from mobile_diffusion.drawing import draw
from tests.apps.conftest import reference
from tests.apps.languages import Language

STAGES = ("encode_text", "denoise", "decode_image")


def check(language: Language, bundle: Path, folder: Path, expected: np.ndarray, *options: object, **env: str) -> str:
    """Draw, and compare the picture with Python's; returns the text on standard error."""
    option, file = language.picture(folder)
    done = language.draw("--bundle", bundle, *options, option, file, **env)
    assert done.returncode == 0, done.stderr
    assert expected.std() > 1, "a picture of one colour proves nothing"
    assert np.array_equal(language.read(file, expected), expected)
    language.check_output(done.stdout, expected)
    return done.stderr


@pytest.mark.parametrize(("prompt", "seed"), [("a red apple, 3d", 7), ("", 2**64 - 1), ("İstanbul 🍎 " * 40, 2**32)])
def test_the_picture_is_pythons(prompt: str, seed: int, bundle: Path, language: Language, tmp_path: Path) -> None:
    expected = reference(bundle, prompt, seed)
    said = check(language, bundle, tmp_path, expected, "--prompt", prompt, "--seed", seed)
    assert ("its end is ignored" in said) == (len(prompt) > 100) and said.count("\n") <= 1


@pytest.mark.parametrize(("syntax", "prompt"), [("a1111", "a (red:1.4) [apple]"), ("compel", "a red++ apple--")])
def test_weights_of_a_prompt(syntax: str, prompt: str, guided: Path, language: Language, tmp_path: Path) -> None:
    artist = bundle_artist(open_bundle(guided), "xnnpack", 1)
    expected = draw(artist.run_stage, artist.tokenizer, artist.settings, prompt, 7, syntax=syntax)
    assert not np.array_equal(expected, reference(guided, prompt, 7))
    check(language, guided, tmp_path, expected, "--prompt", prompt, "--seed", 7, "--prompt-syntax", syntax)


@pytest.mark.parametrize("prompt", ["🍎🍎", "แอปเปิล ቀይ"])
def test_a_prompt_of_unknown_words_says_so(prompt: str, guided: Path, language: Language, tmp_path: Path) -> None:
    """BERT's tokenizer has no emoji and few scripts, and every such prompt draws the same picture; CLIP's has all."""
    said = check(language, guided, tmp_path, reference(guided, prompt, 7), "--prompt", prompt, "--seed", 7)
    assert said == "the model knows no word of the prompt: the picture is any picture; use other words\n"


@pytest.mark.parametrize("memory", [(), ("--sequential",)], ids=["together", "sequential"])
def test_guidance_and_negative_prompt(
    memory: tuple[str, ...], guided: Path, language: Language, tmp_path: Path
) -> None:
    expected = reference(guided, "a cat", 3, 1.5, "a dog")
    assert not np.array_equal(reference(guided, "a cat", 3), expected)
    options = ("--prompt", "a cat", "--seed", 3, "--guidance", "1.5", "--negative", "a dog")
    assert check(language, guided, tmp_path, expected, *options, *memory) == ""


@pytest.mark.parametrize("scale", ["-1", "0", "0.5", "1"])
def test_up_to_one_there_is_no_guidance(scale: str, guided: Path, language: Language, tmp_path: Path) -> None:
    expected = reference(guided, "a cat", 3, 1.0)
    assert not np.array_equal(reference(guided, "a cat", 3, 1.5), expected)
    options = ("--prompt", "a cat", "--seed", 3, "--guidance", scale, "--negative", "a dog")
    said = f"negative prompt: it has no effect at guidance {scale}; use a guidance above 1\n"
    assert check(language, guided, tmp_path, expected, *options) == said


def test_a_bundle_without_guidance(unguided: Path, guided: Path, language: Language, tmp_path: Path) -> None:
    expected = reference(unguided, "a cat", 3)
    assert np.abs(reference(guided, "a cat", 3, 0.0).astype(int) - expected).max() <= 1
    said = check(language, unguided, tmp_path, expected, "--prompt", "a cat", "--seed", 3, "--negative", "a dog")
    assert said == "negative prompt: it has no effect at guidance 0; use a guidance above 1\n"


def test_one_stage_at_a_time_draws_the_same(bundle: Path, language: Language, tmp_path: Path) -> None:
    check(language, bundle, tmp_path, reference(bundle, "a cat", 0), "--prompt", "a cat", "--sequential")


def test_programs_of_half_precision(half: Path, language: Language, tmp_path: Path) -> None:
    check(language, half, tmp_path, reference(half, "a cat", 0), "--prompt", "a cat")


@pytest.mark.parametrize(("name", "memory"), [("guided", ()), ("distilled", ("--sequential",))])
def test_times_are_a_latency_json(
    name: str, memory: tuple[str, ...], language: Language, request: pytest.FixtureRequest
) -> None:
    bundle = request.getfixturevalue(name)
    done = language.draw("--bundle", bundle, "--prompt", "a cat", "--benchmark", 3, *memory)
    values, report = json.loads(done.stdout), parse_latency(done.stdout, language.name)
    assert json.loads(json.dumps(report.to_dict())) == values
    (runner,) = report.runners
    described = (runner.runner, runner.kind, runner.version, runner.threads)
    assert described == (language.runner, "runtime", "1.5.1", 1)
    assert [(stage.stage, stage.runs) for stage in runner.stages] == [(stage, 3) for stage in STAGES]
    assert report.conditions.system.startswith("Linux") and report.conditions.processor


def test_help_names_every_option(language: Language) -> None:
    done = language.draw("--help")
    assert done.returncode == 0 and done.stderr == ""
    read = set(re.findall(r'"(--[a-z-]+)"', language.options.read_text(encoding="utf-8")))
    assert {"--bundle", "--prompt", "--negative", "--seed", "--guidance", "--threads", "--sequential"} <= read
    assert read - {"--help"} <= set(re.findall(r"^ +(--[a-z-]+) ", done.stdout, re.MULTILINE))
