"""Operations that move numbers against what coremltools computes for constants, or numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from export.coreml.ops_shape import gather, pad
from mobile_diffusion.errors import ExportError

Run = Callable[..., tuple[np.ndarray, ...]]
CUBE = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
INFERRED: list[tuple[str, dict[str, Any]]] = [
    ("identity", {"x": CUBE}),
    ("reshape", {"x": CUBE, "shape": [4, -1]}),
    ("reshape", {"x": CUBE, "shape": [3, 2, 0]}),
    ("transpose", {"x": CUBE, "perm": [2, 0, 1]}),
    ("transpose", {"x": CUBE, "perm": [0, -1, -2]}),
    ("expand_dims", {"x": CUBE, "axes": [1]}),
    ("expand_dims", {"x": CUBE, "axes": [-1, 0]}),
    ("squeeze", {"x": CUBE.reshape(1, 6, 1, 4), "axes": [0]}),
    ("squeeze", {"x": CUBE.reshape(1, 6, 1, 4)}),
    ("concat", {"values": (CUBE, 2 * CUBE), "axis": -1}),
    ("stack", {"values": (CUBE, 2 * CUBE), "axis": 1}),
    ("split", {"x": CUBE, "num_splits": 2, "axis": -1}),
    ("split", {"x": CUBE, "split_sizes": [1, 3], "axis": 2}),
    ("slice_by_index", {"x": CUBE, "begin": [0, 1, 1], "end": [2, 3, 4], "stride": [1, 1, 2]}),
    ("slice_by_index", {"x": CUBE, "begin": [1, -2, 0], "end": [2, -1, 0], "end_mask": [False, False, True]}),
    ("slice_by_index", {"x": CUBE, "begin": [9, 0, 0], "end": [1, 2, 2], "begin_mask": [True, False, False]}),
    (
        "slice_by_index",
        {"x": CUBE, "begin": [1, 0, 0], "end": [0, 2, 2], "squeeze_mask": [True, False, False]},
    ),
    (
        "slice_by_index",
        {"x": CUBE, "begin": [0, 0, -1], "end": [2, 3, 0], "squeeze_mask": [False, False, True]},
    ),
    ("slice_by_index", {"x": CUBE, "begin": [0, 2, 0], "end": [2, 0, 4], "stride": [1, -1, 1]}),
    ("slice_by_size", {"x": CUBE, "begin": [0, 1, -2], "size": [1, -1, 2]}),
    ("gather", {"x": CUBE, "indices": np.array([2, 0, 2], np.int32), "axis": 1}),
    ("gather", {"x": CUBE, "indices": np.array([[1, 0], [0, 1]], np.int32), "axis": 0}),
    ("gather", {"x": CUBE, "indices": np.int32(1), "axis": -1}),
    ("gather_along_axis", {"x": CUBE, "indices": np.array([[[2, 0, 1, 1]]] * 2, np.int32), "axis": 1}),
    ("tile", {"x": CUBE, "reps": [1, 2, 3]}),
    ("reverse", {"x": CUBE, "axes": [0, -1]}),
    ("reverse", {"x": CUBE}),
    ("fill", {"shape": [2, 3], "value": 1.5}),
    ("fill", {"shape": [2], "value": 7}),
    ("flatten2d", {"x": CUBE, "axis": 1}),
    ("shape", {"x": CUBE}),
]


@pytest.mark.parametrize(("operation", "operands"), INFERRED, ids=lambda value: str(value)[:24])
def test_as_coremltools_infers(operation: str, operands: dict[str, Any], interpret: Run, infer: Run) -> None:
    got, expected = interpret(operation, **operands), infer(operation, **operands)
    assert len(got) == len(expected)
    for ours, theirs in zip(got, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs, strict=True)


def test_reshape_matches_zeros_from_the_right(interpret: Run) -> None:
    assert interpret("reshape", x=np.zeros((2, 50), np.float32), shape=[1, 0, -1, 0])[0].shape == (
        1,
        1,
        2,
        50,
    )


def test_concat_interleaves(interpret: Run) -> None:
    got = interpret("concat", values=(CUBE, -CUBE), axis=1, interleave=True)[0]
    np.testing.assert_array_equal(got[:, 0::2], CUBE)
    np.testing.assert_array_equal(got[:, 1::2], -CUBE)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
@pytest.mark.parametrize("pairs", [[(0, 1), (2, 3)], [(1, 0)]])
def test_pad(mode: str, pairs: list[tuple[int, int]], interpret: Run) -> None:
    x = np.arange(60, dtype=np.float32).reshape(1, 3, 4, 5)
    flat = [size for pair in pairs for size in pair]
    whole = [(0, 0)] * (x.ndim - len(pairs)) + pairs
    value = {"constant_values": 2.5} if mode == "constant" else {}
    expected = np.pad(x, whole, {"replicate": "edge"}.get(mode, mode), **value)  # type: ignore[call-overload]
    got = interpret("pad", x=x, pad=flat, mode=mode, constant_val=2.5)[0]
    np.testing.assert_array_equal(got, expected)


def test_upsampling_repeats_pixels(interpret: Run) -> None:
    got = interpret("upsample_nearest_neighbor", x=CUBE[None], scale_factor_height=2.0, scale_factor_width=3.0)[0]
    np.testing.assert_array_equal(got, CUBE[None].repeat(2, axis=2).repeat(3, axis=3))


def test_pixel_shuffle(interpret: Run) -> None:
    x = np.arange(2 * 8 * 3 * 2, dtype=np.float32).reshape(2, 8, 3, 2)
    expected = x.reshape(2, 2, 2, 2, 3, 2).transpose(0, 1, 4, 2, 5, 3).reshape(2, 2, 6, 4)
    np.testing.assert_array_equal(interpret("pixel_shuffle", x=x, upscale_factor=2)[0], expected)


@pytest.mark.parametrize("wrong", [-1, 3])
def test_an_index_out_of_range_is_refused(wrong: int) -> None:
    with pytest.raises(ExportError, match=f"gather: expected indices from 0 to 2, got {wrong}"):
        gather(torch.from_numpy(CUBE), torch.tensor([0, wrong]), axis=torch.tensor(1))


def test_a_fractional_scale_is_refused(interpret: Run) -> None:
    with pytest.raises(ExportError, match=r"upsample_nearest_neighbor: expected whole scale factors, got 1.5"):
        interpret("upsample_nearest_neighbor", x=CUBE[None], scale_factor_height=2.0, scale_factor_width=1.5)


def test_batched_gathering_is_refused(interpret: Run) -> None:
    with pytest.raises(ExportError, match=r"gather: expected batch_dims to be 0, got 1"):
        interpret("gather", x=CUBE, indices=np.zeros((2, 1), np.int32), axis=1, batch_dims=1)


def test_half_precision_moves_unchanged(interpret: Run) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float16)
    np.testing.assert_array_equal(interpret("transpose", x=x, perm=[1, 0])[0].astype(np.float16), x.T)


def test_an_unknown_padding_is_named(interpret: Run) -> None:
    with pytest.raises(ExportError, match=r"pad: expected mode to be one of .*, got 'wrap'"):
        pad(torch.zeros(3), torch.tensor([1, 1]), "wrap")
