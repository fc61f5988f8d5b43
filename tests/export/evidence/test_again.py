"""Programs compared byte by byte with those of another export: a weight that changed by a millionth is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from export.bundle.bundle import open_bundle
from export.cli.export_again import IN_MANIFEST, words_of
from export.evidence.again import check_again, other_versions
from export.job.command import options
from mobile_diffusion.cli.opening import Opening
from tests.export.cli.test_commands import Command, assert_refused, command
from tests.export.evidence.planting import edit_json, edit_weight

__all__ = ["command"]
Copy = Callable[[str], Path]


def change_a_weight(bundle: Path) -> None:
    """Multiply one weight of a bundle's ONNX model by 1.000001."""

    def change(values: np.ndarray) -> np.ndarray:
        values.flat[7] *= np.float32(1 + 1e-6)
        return values

    edit_weight(bundle, "unet.mid_block.resnets.0.conv2.weight", change)


def test_one_weight_is_one_difference(exported: dict[str, object], copy_of: Copy) -> None:
    spoiled = copy_of("android")
    change_a_weight(spoiled)
    whole = open_bundle(exported["android"].bundle.path)  # type: ignore[attr-defined]
    assert check_again(whole, whole) == [] and other_versions(whole, whole) == ""
    (found,) = check_again(open_bundle(spoiled), whole)
    place = "onnx/denoise.onnx: unet.mid_block.resnets.0.conv2.weight[0, 0, 2, 1]"
    assert (found.check, found.place) == ("exported again", place) and found.expected != found.got


def test_other_versions_are_named(exported: dict[str, object], copy_of: Copy) -> None:
    other, whole = copy_of("android"), open_bundle(exported["android"].bundle.path)  # type: ignore[attr-defined]
    edit_json(other / "manifest.json", lambda values: values["tools"][0].update(version="0.1"))
    name, version = whole.manifest.tools[0].name, whole.manifest.tools[0].version
    assert other_versions(open_bundle(other), whole) == f"{name} 0.1 and here {version}"


def test_what_a_manifest_does_not_say_is_said_again() -> None:
    given = Opening(size="64", lora=["a.safetensors:0.5", "b.safetensors"], skip_layers=1, vae=Path("my vae"))
    assert list(words_of(Opening())) == []
    assert " ".join(words_of(given)) == "--lora a.safetensors:0.5 --lora b.safetensors --vae my vae --skip-layers 1"
    assert set(IN_MANIFEST) < {each.name for each in fields(Opening)}


def test_again_needs_the_checkpoint(command: Command, tmp_path: Path) -> None:
    assert_refused(command("verify", str(tmp_path), "--again"), "--again: expected --checkpoint, got none")


@pytest.mark.full
@pytest.mark.parametrize("target", ["android", "ios"])
def test_verify_finds_it(target: str, command: Command, copy_of: Copy, tiny_checkpoint: Path) -> None:
    bundle = copy_of(target)
    words = ("verify", str(bundle), "--checkpoint", str(tiny_checkpoint), "--threads", "1", "--again")
    assert command(*words).status == 0
    if target == "android":
        change_a_weight(bundle)
        assert_refused(
            command(*words),
            r"1 contradictions: onnx/denoise\.onnx: unet\.mid_block\.resnets\.0\.conv2\.weight\[0, 0, 2, 1\]",
        )


def test_the_command_names_windows(exported: dict[str, object]) -> None:
    manifest = exported["android"].bundle.manifest  # type: ignore[attr-defined]
    assert "--windows" not in options(manifest, "step")
    stages = list(manifest.stages)
    at = next(number for number, each in enumerate(stages) if each.name == "denoise")
    inputs = tuple(
        replace(each, shape=(1, 3 * each.shape[1], each.shape[2])) if each.name == "context" else each
        for each in stages[at].inputs
    )
    stages[at] = replace(stages[at], inputs=inputs)
    words = options(replace(manifest, stages=tuple(stages)), "step")
    assert words[words.index("--windows") + 1] == "3"
