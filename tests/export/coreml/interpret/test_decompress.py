"""Compressed constants against coremltools' own decompression, on random tables and on packages that it compressed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.coreml.blobs import pack
from export.coreml.interpret import Program
from export.coreml.interpret.decompress import DECOMPRESSIONS
from export.coreml.toolchain import NOISY_LOGGERS, without_bars
from export.quiet import errors_only
from mobile_diffusion.errors import ExportError

Decompress = Callable[..., tuple[Any, Any]]
Save = Callable[..., Path]
G = np.random.default_rng(5)


def small(dtype: str, values: np.ndarray) -> np.ndarray:
    """Integers as one of coremltools' types of fewer than eight bits."""
    from coremltools.converters.mil.mil import types

    found: np.ndarray = values.astype(types.nptype_from_builtin(types.string_to_builtin(dtype)))
    return found


def equal(got: Any, expected: Any) -> None:
    """The same arrays, of the same type where it is not one of few bits."""
    pairs = zip(got, expected, strict=True) if isinstance(got, tuple) else [(got, expected)]
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)
        assert ours.shape == theirs.shape and (theirs.dtype.metadata or ours.dtype == theirs.dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(("axis", "count"), [(0, 4), (1, 6), (-1, 5), (0, None)])
def test_affine(dtype: Any, axis: int, count: int | None, decompress: Decompress) -> None:
    data = G.integers(0, 256, (4, 6, 5)).astype(np.uint8)
    scale = G.uniform(0.01, 0.1, count).astype(dtype) if count else dtype(0.03)
    zero = G.integers(0, 256, count).astype(np.uint8) if count else np.uint8(100)
    parts = {"quantized_data": data, "zero_point": zero, "scale": scale, "axis": axis}
    equal(*decompress("constexpr_affine_dequantize", "iOS16", **parts))


@pytest.mark.parametrize("bits", [1, 2, 4, 6, 8])
def test_table(bits: int, decompress: Decompress) -> None:
    table, indices = G.normal(size=2**bits).astype(np.float16), G.integers(0, 2**bits, (3, 7, 5))
    packed = pack(indices.astype(np.uint8), bits) if bits < 8 else indices.astype(np.uint8).reshape(-1)
    shape = np.array([3, 7, 5], np.uint32)
    got, expected = decompress("constexpr_lut_to_dense", "iOS16", indices=packed, lut=table, shape=shape)
    equal(got, expected)
    np.testing.assert_array_equal(got, table[indices])


def test_mask(decompress: Decompress) -> None:
    mask = G.random((5, 7)) < 0.3
    data = G.normal(size=mask.sum()).astype(np.float16)
    packed, shape = pack(mask.astype(np.uint8), 1), np.array([5, 7], np.uint32)
    equal(*decompress("constexpr_sparse_to_dense", "iOS16", nonzero_data=data, mask=packed, shape=shape))


def test_cast(decompress: Decompress) -> None:
    value = G.normal(size=(3, 4)).astype(np.float16)
    equal(*decompress("constexpr_cast", "iOS16", source_val=value, output_dtype="fp32"))


@pytest.mark.parametrize("dtype", ["int4", "uint4", "int8", "uint8"])
@pytest.mark.parametrize("groups", [(4, 1), (1, 1), (2, 3), (4, 6)])
@pytest.mark.parametrize("offset", [False, True])
def test_blocks(dtype: str, groups: tuple[int, int], offset: bool, decompress: Decompress) -> None:
    low, high = {"int4": (-8, 8), "uint4": (0, 16), "int8": (-128, 128), "uint8": (0, 256)}[dtype]
    data, scale = small(dtype, G.integers(low, high, (4, 6))), G.uniform(0.01, 0.1, groups).astype(np.float16)
    given = {"offset": small(dtype, G.integers(low, high, groups))} if offset else {}
    equal(*decompress("constexpr_blockwise_shift_scale", "iOS18", data=data, scale=scale, **given))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_offsets_that_are_no_integers(dtype: Any, decompress: Decompress) -> None:
    data, scale = small("uint4", G.integers(0, 16, (4, 6))), G.uniform(0.01, 0.1, (2, 1)).astype(dtype)
    offset = G.uniform(0, 16, (2, 1)).astype(dtype)
    got, expected = decompress("constexpr_blockwise_shift_scale", "iOS18", data=data, scale=scale, offset=offset)
    np.testing.assert_allclose(got, expected, atol=2e-3 if dtype == np.float16 else 1e-6)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 6, 8])
@pytest.mark.parametrize("groups", [(1, 1), (2, 1), (4, 3)])
def test_tables_of_groups(bits: int, groups: tuple[int, int], decompress: Decompress) -> None:
    indices = small(f"uint{bits}", G.integers(0, 2**bits, (4, 6)))
    table = G.normal(size=(*groups, 2**bits, 1)).astype(np.float16)
    equal(*decompress("constexpr_lut_to_dense", "iOS18", indices=indices, lut=table))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("groups", [(1, 1, 1), (2, 1, 1), (2, 3, 5)])
def test_tables_of_vectors(axis: int, groups: tuple[int, ...], decompress: Decompress) -> None:
    indices = small("uint2", G.integers(0, 4, (4, 6, 5)))
    table = G.normal(size=(*groups, 4, 3)).astype(np.float16)
    got, expected = decompress("constexpr_lut_to_dense", "iOS18", indices=indices, lut=table, vector_axis=axis)
    equal(got, np.ascontiguousarray(expected))


def masked(dtype: str, high: int) -> tuple[np.ndarray, np.ndarray]:
    """A mask (4, 6) and numbers for its places."""
    mask = G.random((4, 6)) < 0.4
    return small("uint1", mask), small(dtype, G.integers(0, high, mask.sum()))


def test_mask_of_bits(decompress: Decompress) -> None:
    mask, data = masked("uint8", 256)
    equal(*decompress("constexpr_sparse_to_dense", "iOS18", nonzero_data=data, mask=mask))


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_sparse_table(axis: int | None, decompress: Decompress) -> None:
    mask, data = masked("uint2", 4)
    table = G.normal(size=(2, 1, 4, 1 if axis is None else 2)).astype(np.float16)
    chosen = {} if axis is None else {"vector_axis": axis}
    parts = {"indices_mask": mask, "indices_nonzero_data": data, "lut": table, **chosen}
    equal(*decompress("constexpr_lut_to_sparse", "iOS18", **parts))


def test_sparse_blocks(decompress: Decompress) -> None:
    mask, data = masked("uint4", 16)
    scale, offset = G.uniform(0.01, 0.1, (2, 3)).astype(np.float16), small("uint4", G.integers(0, 16, (2, 3)))
    parts = {"data_mask": mask, "nonzero_data": data, "scale": scale, "offset": offset}
    equal(*decompress("constexpr_sparse_blockwise_shift_scale", "iOS18", **parts))


@pytest.mark.parametrize(
    ("operation", "parts", "message"),
    [
        ("lut_to_dense", {"indices": np.zeros(1, np.uint8), "lut": np.zeros(3), "shape": np.ones(1)}, "got 3"),
        ("blockwise_shift_scale", {"data": np.zeros((4, 6)), "scale": np.ones((3, 6))}, r"divide \(4, 6\), got .*"),
        ("sparse_to_dense", {"nonzero_data": np.zeros(2), "mask": np.ones(3)}, "got 3 places for 2 numbers"),
    ],
)
def test_parts_that_do_not_fit_are_refused(operation: str, parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=rf"compressed weight: expected .* {message}; compress it again"):
        DECOMPRESSIONS[f"constexpr_{operation}"](**parts)


def network(target: str, save_program: Save) -> Path:
    """A package of three layers whose weights are large enough to be compressed."""
    from coremltools.converters.mil import Builder

    weights = [G.normal(size=shape).astype(np.float32) for shape in ((64, 48), (64, 64), (32, 64, 3, 3))]

    def layers(x: Any) -> Any:
        x = Builder.linear(x=x, weight=weights[0])
        x = Builder.relu(x=Builder.linear(x=x, weight=weights[1]))
        x = Builder.reshape(x=x, shape=[1, 64, 4, 4])
        return Builder.conv(x=x, weight=weights[2], pad_type="valid")

    return save_program(layers, "FLOAT16", target, x=(16, 48))


def palettized(cto: Any, **options: Any) -> Any:
    return cto.palettize_weights, cto.OpPalettizerConfig(mode="uniform", weight_threshold=64, **options)


def quantized(cto: Any, **options: Any) -> Any:
    return cto.linear_quantize_weights, cto.OpLinearQuantizerConfig(weight_threshold=64, **options)


def pruned(cto: Any) -> Any:
    return cto.prune_weights, cto.OpMagnitudePrunerConfig(target_sparsity=0.6, weight_threshold=64)


RECIPES: dict[str, tuple[str, list[Callable[[Any], Any]]]] = {
    "6 bits, iOS 16": ("iOS16", [lambda cto: palettized(cto, nbits=6)]),
    "int8, iOS 16": ("iOS16", [quantized]),
    "sparse, iOS 16": ("iOS16", [pruned]),
    **{
        f"{bits} bits": ("iOS18", [lambda cto, bits=bits: palettized(cto, nbits=bits)])  # type: ignore[misc]
        for bits in (1, 2, 3, 4, 6, 8)
    },
    "4 bits of groups": (
        "iOS18",
        [lambda cto: palettized(cto, nbits=4, granularity="per_grouped_channel", group_size=16)],
    ),
    "int8": ("iOS18", [quantized]),
    "int4 of blocks": (
        "iOS18",
        [lambda cto: quantized(cto, dtype="int4", granularity="per_block", block_size=16)],
    ),
    "uint4 of channels": ("iOS18", [lambda cto: quantized(cto, dtype="uint4", mode="linear")]),
    "sparse": ("iOS18", [pruned]),
    "sparse, then 4 bits": ("iOS18", [pruned, lambda cto: palettized(cto, nbits=4)]),
    "sparse, then int8": ("iOS18", [pruned, quantized]),
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_packages_that_coremltools_compressed(recipe: str, save_program: Save, tmp_path: Path, ct: Any) -> None:
    """The outputs of the compressed package are those of one that coremltools has decompressed."""
    check_recipe(*RECIPES[recipe], save_program, tmp_path, ct)


def test_vectors_of_coremltools(save_program: Save, tmp_path: Path, ct: Any) -> None:
    """`cluster_dim`, which needs k-means: coremltools takes scikit-learn's, which executorch installs."""

    def vectors(cto: Any) -> Any:
        return cto.palettize_weights, cto.OpPalettizerConfig(nbits=4, cluster_dim=2, weight_threshold=64)

    check_recipe("iOS18", [vectors], save_program, tmp_path, ct)


def check_recipe(target: str, steps: list[Callable[[Any], Any]], save_program: Save, tmp_path: Path, ct: Any) -> None:
    """Compress, decompress, and compare what both packages compute."""
    from coremltools.optimize import coreml as cto

    model = ct.models.MLModel(str(network(target, save_program)), skip_model_load=True)
    with errors_only(NOISY_LOGGERS), without_bars():
        for place, step in enumerate(steps):
            compress, config = step(cto)
            joint = {"joint_compression": True} if place else {}
            model = compress(model, cto.OptimizationConfig(global_config=config), **joint)
        model.save(str(tmp_path / "compressed.mlpackage"))
        cto.decompress_weights(model).save(str(tmp_path / "plain.mlpackage"))
    names = {operation.type for operation in operations(model.get_spec())}
    assert any(name.startswith("constexpr_") for name in names), "nothing was compressed"
    x = G.normal(size=(16, 48)).astype(np.float32)
    found = [Program.open(tmp_path / f"{name}.mlpackage").run(x=x) for name in ("compressed", "plain")]
    (got,), (expected,) = (each.values() for each in found)
    np.testing.assert_allclose(got, expected, atol=2e-2, rtol=2e-3)
    assert np.abs(expected).max() > 1


def operations(spec: Any) -> Any:
    """Of the main function."""
    function = spec.mlProgram.functions["main"]
    return function.block_specializations[function.opset].operations
