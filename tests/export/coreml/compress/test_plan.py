"""Plans as files: kept, used again, and refused where they do not belong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from export.compression import CompressionPlan, find_recipe, load_plan, uniform_plan
from export.compression.plan import LayerPlan
from export.coreml.compress import compress_package, layers_of
from export.coreml.package_archive import CoreMLPackage
from mobile_diffusion.errors import ConfigError


@pytest.fixture
def made(plain: Mapping[str, Path]) -> CompressionPlan:
    """A plan of the small program, with all that a plan has."""
    plan = uniform_plan("denoise", layers_of(CoreMLPackage.open(plain["iOS17"])), find_recipe("palettize-4"))
    layers = tuple(replace(each, errors={"palettize-4": 1e-3, "none": 0.0}) for each in plan.layers)
    return replace(plan, layers=layers, budget="4 bits", predicted_snr_db=30.5, conditions={"states": 8})


def test_a_plan_is_read_as_it_was_written(made: CompressionPlan, tmp_path: Path) -> None:
    made.save(tmp_path / "plan.json")
    assert load_plan(tmp_path / "plan.json") == made
    assert [each.name for each in tmp_path.iterdir()] == ["plan.json"]


def test_a_saved_plan_compresses(made: CompressionPlan, plain: Mapping[str, Path], tmp_path: Path) -> None:
    recipes = ("none", "int8", "palettize-2", "palettize-6")
    layers = (replace(each, recipe=recipe) for each, recipe in zip(made.layers, recipes, strict=True))
    replace(made, layers=tuple(layers)).save(tmp_path / "plan.json")
    found = compress_package(plain["iOS17"], tmp_path / "out.mlpackage", load_plan(tmp_path / "plan.json"))
    assert [each.recipe for each in found] == ["int8", "palettize-2", "palettize-6"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda layers: layers[1:], r"got \w+ no such weight where the program has \[64, 64, 3, 3\]"),
        (lambda layers: (*layers, LayerPlan("more", (64, 64), "int8")), r"got more \[64, 64\] where .* no such weight"),
        (lambda layers: (replace(layers[0], shape=(64, 1)), *layers[1:]), r"got conv_weight_0 \[64, 1\] where"),
        (lambda layers: (replace(layers[0], recipe="palettize-3"), *layers[1:]), r"needs --deployment-target iOS18"),
        (lambda layers: (replace(layers[0], recipe="zip"), *layers[1:]), r"expected one of none, .* got 'zip'"),
    ],
)
def test_a_plan_of_another_package_is_refused(
    change: Any, message: str, made: CompressionPlan, plain: Mapping[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        compress_package(plain["iOS17"], tmp_path / "out.mlpackage", replace(made, layers=change(made.layers)))
    assert not list(tmp_path.iterdir())


def test_a_recipe_that_does_not_fit_a_shape_is_refused(plain: Mapping[str, Path]) -> None:
    layers = layers_of(CoreMLPackage.open(plain["iOS18"]))
    plan = uniform_plan("denoise", layers, find_recipe("palettize-4-grouped"))
    wrong = tuple(replace(each, recipe="int4-block") for each in plan.layers)
    odd = tuple(replace(each, shape=(64, 63)) if each.name == "linear_weight_0" else each for each in layers)
    wrong = tuple(replace(each, shape=layer.shape) for each, layer in zip(wrong, odd, strict=True))
    with pytest.raises(ConfigError, match=r"expected recipes that fit the weights, got int4-block for linear_weight_0"):
        replace(plan, layers=wrong).recipes(odd, 8)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content.update(version=2),
        lambda content: content.update(format="another"),
        lambda content: content.update(unknown=1),
        lambda content: content.pop("layers"),
        lambda content: content.update(layers=[{"name": "a"}]),
        lambda content: content["layers"][0].update(shape=["x"]),
        lambda content: content["layers"][0]["errors"].update({"int8": -1.0}),
        lambda content: content["layers"].append(content["layers"][0]),
        lambda content: content.update(budget=4),
        lambda content: content.update(measured_snr_db="good"),
        lambda content: content.update(measured_snr_db=float("nan")),
    ],
)
def test_a_file_that_is_no_plan_is_refused(spoil: Any, made: CompressionPlan, tmp_path: Path) -> None:
    made.save(tmp_path / "plan.json")
    content = json.loads((tmp_path / "plan.json").read_text())
    spoil(content)
    (tmp_path / "plan.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"plan\.json: expected a compression plan, got"):
        load_plan(tmp_path / "plan.json")


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00\xff", "1"])
def test_other_text_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(ConfigError, match=r"expected a compression plan"):
        load_plan(tmp_path / "plan.json")
    with pytest.raises(ConfigError, match=r"expected a compression plan"):
        load_plan(tmp_path / "absent.json")
