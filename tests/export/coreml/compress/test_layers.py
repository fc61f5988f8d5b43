"""Which constants are compressed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from export.compression.recipes import RECIPES, fitting
from export.coreml.compress.layers import WeightLayer, layers_of, opset_of, require_layers
from export.coreml.package_archive import CoreMLPackage
from mobile_diffusion.errors import ExportError


def test_weights_and_their_axes(plain: Mapping[str, Path]) -> None:
    package = CoreMLPackage.open(plain["iOS17"])
    found = {
        layer.name: (layer.shape, layer.output_axis, layer.input_axis, layer.results) for layer in layers_of(package)
    }
    assert found == {
        "conv_weight_0": ((64, 64, 3, 3), 0, 1, ("conv",)),
        "words_x_0": ((80, 64), 0, 1, ("words",)),
        "linear_weight_0": ((96, 64), 0, 1, ("linear",)),
        "matmul_y_0": ((64, 80), 1, 0, ("matmul",)),
    }, "time_x_0 is indexed by the step, biases are small"
    assert opset_of(package.spec) == 7


def test_of_the_stages_everything_large_that_multiplies(coreml_folder: Path) -> None:
    names = {
        stage: [layer.name for layer in layers_of(CoreMLPackage.open(coreml_folder / f"{stage}.mlpackage"))]
        for stage in ("encode_text", "denoise", "decode_image")
    }
    assert any("word_embeddings" in name for name in names["encode_text"])
    for found in names.values():
        assert found and not any("bias" in name or "norm" in name or "times" in name for name in found)
    assert any("conv" in name for name in names["denoise"]) and any("to_q" in name for name in names["denoise"])


def test_a_package_without_large_weights_is_refused(plain: Mapping[str, Path]) -> None:
    with pytest.raises(ExportError, match=r"expected float16 weights of more than 2048 numbers, got none"):
        require_layers(CoreMLPackage.open(plain["iOS17"]), ())


@pytest.mark.parametrize(
    ("shape", "recipe", "expected"),
    [
        ((64, 64), "palettize-4-grouped", "palettize-4-grouped"),
        ((40, 64), "palettize-4-grouped", "palettize-4"),
        ((64, 48), "int4-block", "palettize-4"),
        ((64, 48), "int8-block", "int8"),
        ((63, 64), "palettize-2-pairs", "palettize-2"),
    ],
)
def test_a_shape_that_does_not_take_a_recipe_gets_its_substitute(
    shape: tuple[int, ...], recipe: str, expected: str
) -> None:
    assert fitting(RECIPES[recipe], WeightLayer("weight", shape, 0, 1, ("", 0), ())).name == expected


@pytest.mark.parametrize(
    ("recipe", "bits"),
    [
        ("none", 16.0),
        ("int8", 8 + 16 / 64),
        ("palettize-6", 6 + 64 * 16 / 8192),
        ("palettize-4-grouped", 4 + 8 * 16 * 16 / 8192),
        ("palettize-4-pairs", 4 + 256 * 2 * 16 / 8192),
        ("int4-block", 4 + 16 / 32),
    ],
)
def test_the_cost_of_a_recipe_counts_tables_and_scales(recipe: str, bits: float) -> None:
    layer = WeightLayer("weight", (128, 64), 0, 1, ("", 0), ())
    assert RECIPES[recipe].cost_bits(layer) / layer.count == bits
