"""What a choice of compression does to each stage, and what its layers then compute."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from export.compression import find_recipe, uniform_plan
from export.coreml.compress import compress_package, layers_of
from export.coreml.compress.stage import compress_stage
from export.coreml.interpret import Program
from export.coreml.package_archive import CoreMLPackage
from export.studies.bits.outputs import compare_outputs, inputs_for
from mobile_diffusion.errors import ConfigError, ExportError


@pytest.fixture
def folder(coreml_folder: Path, tmp_path: Path) -> Path:
    """The tiny model's packages, to be changed."""
    return Path(shutil.copytree(coreml_folder, tmp_path / "packages"))


@pytest.mark.parametrize(
    ("compression", "recipes"),
    [
        ("palettize-4", {"denoise": "palettize-4", "encode_text": "palettize-8", "decode_image": "palettize-8"}),
        ("int8", {"denoise": "int8", "encode_text": "int8", "decode_image": "int8"}),
    ],
)
def test_other_stages_keep_eight_bits(compression: str, recipes: dict[str, str], folder: Path) -> None:
    for stage, recipe in recipes.items():
        found = compress_stage(folder / f"{stage}.mlpackage", stage, compression)
        assert found and {each.recipe for each in found} == {recipe}
        assert all(each.snr_db > (18 if recipe == "palettize-4" else 35) for each in found)


def test_none_changes_nothing(folder: Path) -> None:
    package = folder / "denoise.mlpackage"
    before = {path: path.stat().st_mtime_ns for path in package.rglob("*")}
    assert compress_stage(package, "denoise", "none") == ()
    assert {path: path.stat().st_mtime_ns for path in package.rglob("*")} == before


def test_an_unknown_choice_changes_nothing(folder: Path) -> None:
    package = folder / "denoise.mlpackage"
    with pytest.raises(ConfigError, match=r"or the path of a plan, got 'plan\.json'"):
        compress_stage(package, "denoise", "plan.json")
    assert layers_of(CoreMLPackage.open(package))


def test_every_layer_is_compared_and_gets_worse_with_fewer_bits(coreml_folder: Path, tmp_path: Path) -> None:
    source = coreml_folder / "denoise.mlpackage"
    arrays, said = inputs_for(source)
    assert said == "seeded normal numbers"
    layers = layers_of(CoreMLPackage.open(source))
    worst = []
    for recipe in ("int8", "palettize-4"):
        out = tmp_path / f"{recipe}.mlpackage"
        compress_package(source, out, uniform_plan("denoise", layers, find_recipe(recipe)))
        rows = compare_outputs(source, out, arrays)
        assert {row.layer for row in rows} == {layer.name for layer in layers} | {""}
        worst.append([row.snr_db for row in rows])
        final = rows[-1]
        wanted, got = (Program.open(path).run(None, **arrays)["latents_out"] for path in (source, out))
        wanted = wanted.astype(np.float64)
        expected = 10 * np.log10(np.square(wanted).sum() / np.square(wanted - got).sum())
        assert final.value == "latents_out" and final.snr_db == pytest.approx(expected, abs=1e-6)
    assert np.median(worst[0]) > np.median(worst[1]) + 12


def test_layers_that_are_gone_are_noticed(coreml_folder: Path) -> None:
    source, other = (coreml_folder / f"{stage}.mlpackage" for stage in ("decode_image", "encode_text"))
    with pytest.raises(ExportError):
        compare_outputs(source, other, inputs_for(source)[0])
