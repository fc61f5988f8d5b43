"""Compressed packages: the form of coremltools' own, the same numbers for its reader and ours, whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.compression import find_recipe, uniform_plan
from export.coreml.blobs import RecordWriter
from export.coreml.compress import compress_package, layers_of
from export.coreml.compress.layers import opset_of
from export.coreml.compress.verify import compressed, decode, operands_of, stored_fields
from export.coreml.package import SPECIFICATION, WEIGHTS
from export.coreml.package_archive import CoreMLPackage, dtype_of, shape_of
from mobile_diffusion.errors import ConfigError, ExportError

Arrays = dict[str, np.ndarray]
WEIGHT_NAMES = {"conv_weight_0": "conv", "linear_weight_0": "linear", "matmul_y_0": "matmul", "words_x_0": "table"}


def by_coremltools(kind: str, **settings: Any) -> Callable[[Any], Any]:
    """A way to compress of coremltools."""
    import coremltools.optimize.coreml as cto

    config = cto.OpPalettizerConfig if kind == "palettize" else cto.OpLinearQuantizerConfig
    apply = cto.palettize_weights if kind == "palettize" else cto.linear_quantize_weights
    return lambda model: apply(model, cto.OptimizationConfig(global_config=config(**settings)))


PALETTE = {"kind": "palettize", "mode": "kmeans"}
LINEAR = {"kind": "linear", "mode": "linear_symmetric"}
WAYS: dict[str, dict[str, Any]] = {
    "palettize-8": PALETTE | {"nbits": 8},
    "palettize-6": PALETTE | {"nbits": 6},
    "palettize-4": PALETTE | {"nbits": 4},
    "palettize-3": PALETTE | {"nbits": 3},
    "palettize-2": PALETTE | {"nbits": 2},
    "palettize-4-grouped": PALETTE | {"nbits": 4, "granularity": "per_grouped_channel", "group_size": 16},
    "palettize-2-pairs": PALETTE | {"nbits": 4, "cluster_dim": 2},
    "int8": LINEAR,
    "int8-block": LINEAR | {"granularity": "per_block", "block_size": 32},
    "int4-block": LINEAR | {"dtype": "int4", "granularity": "per_block", "block_size": 32},
}
CASES = [
    (target, recipe)
    for target, recipes in {
        "iOS17": ("palettize-8", "palettize-6", "palettize-4", "palettize-2", "int8"),
        "iOS18": tuple(WAYS),
    }.items()
    for recipe in recipes
]


def compress(source: Path, out: Path, recipe: str) -> dict[str, Any]:
    """Compress all weights by one recipe; returns the results by name."""
    package = CoreMLPackage.open(source)
    plan = uniform_plan("small", layers_of(package), find_recipe(recipe, opset_of(package.spec)))
    return {found.name: found for found in compress_package(source, out, plan)}


def form(path: Path) -> dict[str, Any]:
    """What a package says of each decoding operation, but for the numbers and their places."""
    found = {}
    for operation in compressed(CoreMLPackage.open(path).spec):
        fields = {
            name: (dtype_of(value.type.tensorType), shape_of(value.type.tensorType), value.WhichOneof("value"))
            for name, value in stored_fields(operation).items()
        }
        where = (sorted(operation.attributes), sorted(operation.inputs))
        output = operation.outputs[0]
        found[output.name] = (operation.type, where, fields, str(output.type))
    return found


def decoded(path: Path) -> Arrays:
    """Decoded weights by our reader."""
    package = CoreMLPackage.open(path)
    coded = compressed(package.spec)
    return {each.outputs[0].name: decode(each.type, operands_of(package, each)) for each in coded}


def error(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.square(found.astype(np.float64) - wanted).sum())


@pytest.mark.parametrize(("target", "recipe"), CASES)
def test_the_form_is_that_of_coremltools(
    target: str,
    recipe: str,
    plain: Mapping[str, Path],
    theirs: Callable[..., Path],
    loaded_by_coremltools: Callable[[Path], Arrays],
    numbers: Arrays,
    tmp_path: Path,
) -> None:
    settings = dict(WAYS[recipe])
    other = theirs(by_coremltools(settings.pop("kind"), **settings), tmp_path / "theirs.mlpackage", target)
    rows = compress(plain[target], tmp_path / "ours.mlpackage", recipe)
    expected, got = form(other), form(tmp_path / "ours.mlpackage")
    step = next(name for name in expected if name.startswith("time"))
    del expected[step]  # coremltools compresses the table of the schedule as well
    assert got == expected

    ours, read = decoded(tmp_path / "ours.mlpackage"), loaded_by_coremltools(tmp_path / "ours.mlpackage")
    baseline = loaded_by_coremltools(other)
    originals = numbers | {"table": numbers["table"] * 2}
    assert len(ours) == len(WEIGHT_NAMES) and ours.keys() == read.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(array, read[name], name)
        base = name.rpartition("_")[0]
        weight = originals[WEIGHT_NAMES[base]].astype(np.float64)
        slack = 1.02 if recipe.endswith("-pairs") else 1.001
        assert error(array, weight) <= slack * error(baseline[name], weight)
        expected_snr = 10 * np.log10(np.square(weight).sum() / error(array, weight))
        assert rows[base].snr_db == pytest.approx(expected_snr, abs=1e-3)


def test_the_file_is_laid_out_as_coremltools_lays_it(
    plain: Mapping[str, Path], theirs: Callable[..., Path], tmp_path: Path
) -> None:
    way = by_coremltools("palettize", mode="kmeans", nbits=6, weight_threshold=6000)
    other = theirs(way, tmp_path / "t.mlpackage", "iOS18")
    package = CoreMLPackage.open(plain["iOS18"])
    only = {"conv_weight_0", "linear_weight_0"}
    plan = uniform_plan("small", layers_of(package), find_recipe("palettize-6"))
    rest = tuple(each if each.name in only else replace(each, recipe="none") for each in plan.layers)
    compress_package(plain["iOS18"], tmp_path / "o.mlpackage", replace(plan, layers=rest))
    sizes = [(path / WEIGHTS / "weight.bin").stat().st_size for path in (other, tmp_path / "o.mlpackage")]
    assert sizes[0] == sizes[1]
    ours = {each.outputs[0].name: each for each in compressed(CoreMLPackage.open(tmp_path / "o.mlpackage").spec)}
    for each in compressed(CoreMLPackage.open(other).spec):
        if each.outputs[0].name in ours:
            wanted, got = (offsets(operation) for operation in (each, ours[each.outputs[0].name]))
            assert wanted == got


def offsets(operation: Any) -> dict[str, int]:
    """Where in the file the operands of a decoding operation are."""
    return {name: value.blobFileValue.offset for name, value in stored_fields(operation).items()}


def test_everything_else_stays(plain: Mapping[str, Path], tmp_path: Path) -> None:
    source, out = plain["iOS17"], tmp_path / "out.mlpackage"
    compress(source, out, "palettize-4")
    assert (out / "Manifest.json").read_bytes() == (source / "Manifest.json").read_bytes()
    before, after = CoreMLPackage.open(source), CoreMLPackage.open(out)
    kept = {name: constants(before)[name] for name in constants(before) if name not in WEIGHT_NAMES}
    assert kept.keys() == constants(after).keys() and "time_x_0" in kept
    for name, value in kept.items():
        np.testing.assert_array_equal(value, constants(after)[name])
    assert after.spec.description.metadata.userDefined["mobile_diffusion.compression"] == "palettize-4 (4)"
    assert after.spec.description.input == before.spec.description.input
    assert (out / WEIGHTS / "weight.bin").stat().st_size < 0.35 * (source / WEIGHTS / "weight.bin").stat().st_size


def constants(package: CoreMLPackage) -> dict[str, Any]:
    (function,) = package.spec.mlProgram.functions.values()
    body = function.block_specializations[function.opset].operations
    return {each.outputs[0].name: package.value(each.attributes["val"]) for each in body if each.type == "const"}


def test_a_package_may_be_replaced_by_its_compressed_self(plain: Mapping[str, Path], tmp_path: Path) -> None:
    path = Path(shutil.copytree(plain["iOS17"], tmp_path / "package.mlpackage"))
    plan = uniform_plan("small", layers_of(CoreMLPackage.open(path)), find_recipe("int8"))
    with pytest.raises(ExportError, match=r"expected a new folder, got one that exists"):
        compress_package(path, path, plan)
    compress_package(path, path, plan, replace=True)
    assert len(decoded(path)) == len(WEIGHT_NAMES) and [each.name for each in tmp_path.iterdir()] == [path.name]
    with pytest.raises(ExportError, match=r"expected uncompressed weights, got constexpr_affine_dequantize"):
        compress_package(path, path, plan, replace=True)


def test_only_a_package_is_replaced(plain: Mapping[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "notes"
    out.mkdir()
    plan = uniform_plan("small", layers_of(CoreMLPackage.open(plain["iOS17"])), find_recipe("int8"))
    with pytest.raises(ExportError, match=r"notes: expected a package to replace, got something else"):
        compress_package(plain["iOS17"], out, plan, replace=True)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("recipe", ["palettize-4", "int8", "palettize-4-grouped", "palettize-2-pairs"])
def test_weights_that_are_not_finite_are_refused_by_name(
    bad: float, recipe: str, plain: Mapping[str, Path], tmp_path: Path
) -> None:
    path = Path(shutil.copytree(plain["iOS18"], tmp_path / "package.mlpackage"))
    (layer,) = (each for each in layers_of(CoreMLPackage.open(path)) if each.name == "linear_weight_0")
    with (path / WEIGHTS / "weight.bin").open("r+b") as file:
        file.seek(layer.place[1] + 64 + 2 * 17)
        file.write(np.float16(bad).tobytes())
    with pytest.raises(ExportError, match=r"linear_weight_0: expected finite weights, got 1 NaN or infinities"):
        compress(path, tmp_path / "out.mlpackage", recipe)
    assert [each.name for each in tmp_path.iterdir()] == [path.name], "nothing half-written is left"


def swapped(self: RecordWriter, dtype: str, numbers: np.ndarray) -> int:
    """A writer that mixes up two entries of every table."""
    if dtype == "fp16" and numbers.size == 64:
        numbers = numbers.reshape(-1).copy()
        numbers[[3, 40]] = numbers[[40, 3]]
    return WRITE(self, dtype, numbers)


def flipped(self: RecordWriter, dtype: str, numbers: np.ndarray) -> int:
    """A writer that spoils one index in a thousand."""
    if dtype in ("uint8", "uint6", "int8"):
        numbers = numbers.copy()
        numbers.reshape(-1)[::1000] ^= 3
    return WRITE(self, dtype, numbers)


WRITE = RecordWriter.append


@pytest.mark.parametrize(
    ("spoiled", "recipe", "target"),
    [
        (swapped, "palettize-6", "iOS17"),
        (swapped, "palettize-6", "iOS18"),
        (flipped, "palettize-6", "iOS17"),
        (flipped, "palettize-6", "iOS18"),
        (flipped, "int8", "iOS18"),
    ],
)
def test_a_wrong_table_or_index_cannot_ship(
    spoiled: Any, recipe: str, target: str, plain: Mapping[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(RecordWriter, "append", spoiled)
    with pytest.raises(ExportError, match=r"_0: expected a weight in the file [\d.]+ dB from the original, got "):
        compress(plain[target], tmp_path / "out.mlpackage", recipe)
    assert not list(tmp_path.iterdir())


def test_weights_that_functions_share_are_stored_once(ct: Any, plain: Mapping[str, Path], tmp_path: Path) -> None:
    from export.coreml.toolchain import NOISY_LOGGERS, without_bars
    from export.quiet import errors_only

    joined = ct.utils.MultiFunctionDescriptor()
    for name in ("first", "second"):
        joined.add_function(str(plain["iOS18"]), src_function_name="main", target_function_name=name)
    joined.default_function_name = "first"
    with errors_only(NOISY_LOGGERS), without_bars():
        ct.utils.save_multifunction(joined, str(tmp_path / "joined.mlpackage"))
    rows = compress(tmp_path / "joined.mlpackage", tmp_path / "out.mlpackage", "palettize-4")
    package = CoreMLPackage.open(tmp_path / "out.mlpackage")
    names = [each.outputs[0].name for each in compressed(package.spec)]
    places = {offsets(each)["indices"] for each in compressed(package.spec)}
    assert len(rows) == len(places) == 4 and len(names) == 8


def test_a_recipe_of_a_later_system_is_refused(plain: Mapping[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"palettize-3, which needs --deployment-target iOS18"):
        compress(plain["iOS17"], tmp_path / "out.mlpackage", "palettize-3")
    with pytest.raises(ConfigError, match=r"expected one of none, int8, .*, got 'palettize-5'"):
        find_recipe("palettize-5")


def test_a_truncated_weights_file_is_refused(plain: Mapping[str, Path], tmp_path: Path) -> None:
    path = Path(shutil.copytree(plain["iOS17"], tmp_path / "package.mlpackage"))
    file = path / WEIGHTS / "weight.bin"
    file.write_bytes(file.read_bytes()[:-4096])
    with pytest.raises(ExportError, match=r"it is truncated"):
        compress(path, tmp_path / "out.mlpackage", "int8")
    assert (path / SPECIFICATION).is_file() and not (tmp_path / "out.mlpackage").exists()
