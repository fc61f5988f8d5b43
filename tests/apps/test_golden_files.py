"""The golden files are those that their script writes; Python, the reference, computes them as every language does."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from assets.golden.make import golden_files
from export.bundle.adapter_files import read_adapters
from export.bundle.bundle import Bundle, open_bundle
from export.bundle.manifest import read_manifest, schema
from export.job.preview import read_preview
from mobile_diffusion.adapters import ScaledAdapters
from mobile_diffusion.drawing import Hint, Start, draw
from mobile_diffusion.errors import BundleError, PromptError
from mobile_diffusion.noise import gaussian, philox
from mobile_diffusion.prompts.reading import read_prompt
from mobile_diffusion.tokenization.tokenizer import open_tokenizer
from tests.apps.golden import ADAPTERS, GOLDEN, HINTS, TOKENS, TRAJECTORIES, WEIGHTED, golden


def digest(values: np.ndarray) -> str:
    return hashlib.sha256(values.astype(values.dtype.newbyteorder("<")).tobytes()).hexdigest()


class Replay:
    """Answers with recorded outputs, and compares every call with the next recorded one."""

    def __init__(self, calls: list[dict[str, Any]]) -> None:
        self.left = list(calls)

    def __call__(self, stage: str, /, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        call = self.left.pop(0)
        found = {
            name: {"dtype": str(values.dtype), "shape": list(values.shape), "sha256": digest(values)}
            for name, values in arrays.items()
        }
        assert (stage, found) == (call["stage"], call["inputs"])
        return {
            name: np.frombuffer(base64.b64decode(entry["data"]), "<f4").reshape(entry["shape"])
            for name, entry in call["outputs"].items()
        }


def write_bundle(recorded: dict[str, Any], folder: Path) -> Path:
    """The bundle folder of a trajectory, made as README.md of the golden files describes."""
    (folder / "manifest.json").write_text(recorded["manifest"])
    for entry in json.loads(recorded["manifest"])["files"]:
        path = folder / entry["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    for name in {"tokenizer", "tokenizer_2"} & set(recorded):
        (folder / f"{name}.json").write_bytes((GOLDEN / recorded[name]).read_bytes())
    for path, content in recorded.get("adapters", {}).get("files", {}).items():
        (folder / path).write_bytes(base64.b64decode(content))
    if "preview" in recorded:
        (folder / "preview.json").write_text(recorded["preview"]["text"])
    return folder


def test_the_script_writes_the_committed_files_again() -> None:
    written = dict(golden_files())
    committed = {path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*.json")}
    assert set(written) == committed
    changed = [name for name, text in written.items() if text.encode() != (GOLDEN / name).read_bytes()]
    assert changed == []


def test_there_are_enough_cases() -> None:
    cases = [case for name in TOKENS for case in golden(name)["cases"]]
    points = {ord(character) // 256 for case in cases for character in case["prompt"]}
    assert len(cases) > 5000 and len(points) > 300
    assert len(golden("noise.json")["gaussian"]) > 300
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*.json")) < 4_400_000


@pytest.mark.parametrize("name", TOKENS)
def test_tokens(name: str) -> None:
    values = golden(name)
    length = values["max_tokens"]
    tokenizer = open_tokenizer(values["kind"], GOLDEN / values["tokenizer"], length)
    wrong = []
    for case in values["cases"]:
        tokens, count = tokenizer.encode(case["prompt"]), len(case["ids"])
        same = tokens.ids.tolist() == case["ids"] + [values["padding"]] * (length - count)
        if not same or tokens.mask.tolist() != [1] * count + [0] * (length - count):
            wrong.append(case["prompt"])
        if not case.get("known", True):  # every word is unknown, so that what Python says names each
            assert tokenizer.unknown_words(case["prompt"]) != (), ascii(case["prompt"])
    assert wrong == []
    for case in values["refused"]:
        with pytest.raises(PromptError) as caught:
            tokenizer.encode(case["prompt"])
        assert case["message"] in str(caught.value)


def test_prompts() -> None:
    values = golden("prompts.json")
    tokenizer = open_tokenizer(values["kind"], GOLDEN / values["tokenizer"], values["max_tokens"])
    for case in values["cases"]:
        reading = read_prompt(tokenizer, case["prompt"], case["syntax"], case["windows"])
        for version, expected in zip(reading.versions, case["versions"], strict=True):
            assert version.share == pytest.approx(expected["share"], rel=1e-12)
            windows = zip(version.tokens, version.weights[:, 0].tolist(), strict=True)
            lengths = [int(tokens.mask.sum()) for tokens in version.tokens]
            found = [
                {"ids": tokens.ids[:length].tolist(), "weights": weights[:length]}
                for (tokens, weights), length in zip(windows, lengths, strict=True)
            ]
            assert found == expected["windows"], case["prompt"]
        assert [reading.cut, reading.empty is not None] == [case["cut"], case["empty"]]
    for case in values["refused"]:
        with pytest.raises(PromptError) as caught:
            read_prompt(tokenizer, case["prompt"], case["syntax"])
        assert case["message"] in str(caught.value)


def test_weighted_trajectories_prove_windows_and_versions() -> None:
    """Two windows of two encoders each; Compel's empty prompt, the prompt itself, and one without each weak piece."""
    lengths, counts = [], []
    for name in WEIGHTED:
        calls = golden(f"trajectories/{name}.json")["calls"]
        first = next(call for call in calls if call["stage"] == "denoise")
        lengths.append(first["inputs"]["context"]["shape"][1])
        counts.append(sum(call["stage"] == "encode_text" for call in calls))
    assert counts == [2 * 2, 1 + 2 * 5 + 1 + 2 * 2]
    assert lengths == [80, 48]


def test_noise() -> None:
    values = golden("noise.json")
    for case in values["philox"]:
        counter, key, words = ([int(word, 16) for word in case[name]] for name in ("counter", "key", "words"))
        assert philox((key[0], key[1]), np.array([counter], np.uint32)).tolist() == [words]
    for case in values["gaussian"]:
        assert digest(gaussian(int(case["seed"]), (case["count"],), case["tensor"])) == case["sha256"], case


def test_manifests(tmp_path: Path) -> None:
    values = golden("manifests.json")
    assert len(values["refused"]) > 80
    for case in values["accepted"]:
        (tmp_path / "manifest.json").write_text(case["text"])
        read_manifest(tmp_path)
    for case in values["refused"]:
        (tmp_path / "manifest.json").write_text(case["text"])
        with pytest.raises(BundleError) as caught:
            read_manifest(tmp_path)
        line = str(caught.value)
        assert case["message"] in line and "\n" not in line, (case["name"], line)


@pytest.mark.parametrize("name", (*TRAJECTORIES, *WEIGHTED, *HINTS, *ADAPTERS))
def test_trajectories(name: str, tmp_path: Path) -> None:
    recorded = golden(f"trajectories/{name}.json")
    bundle = open_bundle(write_bundle(recorded, tmp_path))
    request, replay = recorded["request"], Replay(recorded["calls"])
    states: list[np.ndarray] = []
    picture = draw(
        replay,
        bundle.tokenizer(),
        bundle.settings(),
        request["prompt"],
        int(request["seed"]),
        request["guidance"],
        lambda step, latents: states.append(latents),
        request["negative"],
        start_of(request),
        request.get("syntax", "plain"),
        [Hint(pixels_of(asked), asked["scale"]) for asked in request.get("hints", [])],
        adapters_of(recorded, bundle, tmp_path),
    )
    assert replay.left == [] and picture.std() > 10
    assert [picture.shape[1], picture.shape[0], digest(picture)] == list(recorded["picture"].values())
    if "preview" in recorded:
        assert_previews(tmp_path, recorded["preview"]["pictures"], states)


def adapters_of(recorded: dict[str, Any], bundle: Bundle, folder: Path) -> ScaledAdapters | None:
    """The adapters that a drawing turns on, of the bundle and of files that were made for it later."""
    later = [folder / f"{name}.safetensors" for name in recorded.get("adapters", {}).get("later", {})]
    for file in later:
        file.write_bytes(base64.b64decode(recorded["adapters"]["later"][file.stem]))
    adapters = read_adapters(bundle, later)
    scales = {asked["name"]: asked["scale"] for asked in recorded["request"].get("adapters", [])}
    assert (adapters is None) == (not scales)
    return adapters and adapters.at(scales)


def pixels_of(asked: dict[str, Any]) -> np.ndarray:
    """A picture (1, 3, H, W) in [0, 1]."""
    pixels = np.frombuffer(base64.b64decode(asked["pixels"]), np.uint8).reshape(asked["height"], asked["width"], 3)
    return (pixels.transpose(2, 0, 1)[None] / 255).astype(np.float32)


def start_of(request: dict[str, Any]) -> Start | None:
    """The picture to start from as the loop takes it, made as README.md of the golden files describes."""
    if "start" not in request:
        return None
    asked = request["start"]
    image = pixels_of(asked)
    mask = asked["mask"] and np.frombuffer(base64.b64decode(asked["mask"]), np.uint8).reshape(1, 1, 16, 16)
    floats = None if mask is None else mask.astype(np.float32)
    return Start(image, asked["strength"], floats, asked["image_guidance"])


def assert_previews(bundle: Path, expected: list[dict[str, Any]], states: list[np.ndarray]) -> None:
    preview = read_preview(bundle)
    shown = [preview(latents[0]) for latents in states]
    found = [{"width": each.shape[1], "height": each.shape[0], "sha256": digest(each)} for each in shown]
    assert found == expected and all(each.std() > 10 for each in shown)


def test_trajectories_differ_in_what_drawings_differ_in() -> None:
    files = [golden(f"trajectories/{name}.json") for name in TRAJECTORIES]
    inputs = [Counter(name for call in file["calls"] for name in call["inputs"]) for file in files]
    read = ("masked_latents", "image_latents", "image_guidance")
    names = ("null_context", "null_output", "memory", "noise", "mask", "image", "pooled", "null_pooled", *read)
    assert [tuple(name for name in names if name in each) for each in inputs] == [
        ("null_context", "mask"),
        ("null_context", "memory", "mask"),
        ("null_output", "memory", "mask"),
        ("mask",),
        ("null_context", "memory", "noise", "mask"),
        ("null_context", "memory", "mask", "image"),
        ("null_context", "mask", "image"),
        ("null_context", "mask", "image"),
        ("null_context", "memory", "mask", "image", "masked_latents"),
        ("null_output", "mask", "image", "masked_latents"),
        ("null_context", "noise", "mask", "image", "image_latents", "image_guidance"),
        ("null_context", "mask", "image", "image_latents", "image_guidance"),
        ("noise",),
        ("null_context", "pooled", "null_pooled"),
        ("null_output", "pooled"),
    ]
    assert ["preview" in file for file in files] == [name in ("ddim", "lcm") for name in TRAJECTORIES]


def test_sdxls_trajectories_prove_two_tokenizers_and_zeros() -> None:
    zeros, interval = (golden(f"trajectories/{name}.json") for name in ("sdxl", "sdxl-interval"))
    assert [file["calls"][0]["inputs"]["tokens"]["shape"] for file in (zeros, interval)] == [[1, 2, 40]] * 2
    assert json.loads(zeros["manifest"])["schedule"]["zero_null"] and zeros["request"]["negative"] == ""
    assert [sum(call["stage"] == "encode_text" for call in file["calls"]) for file in (zeros, interval)] == [1, 2]
    null = zeros["calls"][1]["inputs"]["null_pooled"]
    assert null["sha256"] == digest(np.zeros(null["shape"], np.float32))


@pytest.mark.parametrize("name", (*TRAJECTORIES, *WEIGHTED, *HINTS, *ADAPTERS))
def test_a_recorded_manifest_fits_the_schema(name: str) -> None:
    jsonschema.Draft202012Validator(schema()).validate(json.loads(golden(f"trajectories/{name}.json")["manifest"]))
