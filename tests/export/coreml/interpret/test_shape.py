"""Operations that rearrange numbers against what coremltools computes for constants, or numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from export.coreml.interpret.operations import OPS, check_attributes
from export.coreml.interpret.shape import reverse_sequence
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
    ("tile", {"x": CUBE, "reps": [1, 2, 3]}),
    ("reverse", {"x": CUBE, "axes": [0, -1]}),
    ("reverse", {"x": CUBE}),
    ("flatten2d", {"x": CUBE, "axis": 1}),
]


@pytest.mark.parametrize(("operation", "operands"), INFERRED, ids=lambda value: str(value)[:24])
def test_as_coremltools_infers(operation: str, operands: dict[str, Any], equals_inference: Callable[..., None]) -> None:
    equals_inference(operation, **operands)


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


def test_half_precision_moves_unchanged(interpret: Run) -> None:
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float16)
    np.testing.assert_array_equal(interpret("transpose", x=x, perm=[1, 0])[0].astype(np.float16), x.T)


def test_an_unknown_padding_is_named() -> None:
    with pytest.raises(ExportError, match=r"pad: expected mode to be one of .*, got 'wrap'"):
        check_attributes("pad", "name", OPS["pad"], {"x": None, "pad": None, "mode": "wrap"})


def test_a_shape_of_other_tensors(interpret: Run) -> None:
    others = (np.zeros((2, 3, 4), np.float32), np.zeros((1, 4, 3), np.float32))
    options = {"begins": (0, 1), "ends": (1, 0), "end_masks": (False, True)}
    got = interpret("reshape_like", x=CUBE, ref_tensors=others, **options)[0]
    np.testing.assert_array_equal(got, CUBE.reshape(2, 4, 3))


def test_the_beginning_of_sequences_is_reversed() -> None:
    """As TensorFlow's documentation has it; coremltools' own inference is not written."""
    x = torch.arange(24).reshape(2, 3, 4)
    got = reverse_sequence(x, torch.tensor([2, 4]), torch.tensor(2), torch.tensor(0))
    assert torch.equal(got[0], x[0][:, [1, 0, 2, 3]]) and torch.equal(got[1], x[1].flip(1))
    got = reverse_sequence(x, torch.tensor([1, 2, 1, 2]), torch.tensor(0), torch.tensor(2))
    assert torch.equal(got[..., ::2], x[..., ::2]) and torch.equal(got[..., 1::2], x[..., 1::2].flip(0))


def test_windows_of_an_axis(interpret: Run) -> None:
    got = interpret("sliding_windows", x=CUBE, axis=2, size=2, stride=2)[0]
    np.testing.assert_array_equal(got, np.stack([CUBE[:, :, 0:2], CUBE[:, :, 2:4]], axis=2))
