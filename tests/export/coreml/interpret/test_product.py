"""Matrix products and attention against numpy, torch, and what coremltools computes for constants."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from export.coreml.interpret.product import einsum
from mobile_diffusion.errors import ExportError

Run = Callable[..., tuple[np.ndarray, ...]]
Normal = Callable[..., np.ndarray]
T = torch.from_numpy


def test_linear(interpret: Run, normal: Normal) -> None:
    x, weight, bias = normal(2, 5, 3), normal(4, 3), normal(4)
    np.testing.assert_allclose(interpret("linear", x=x, weight=weight, bias=bias)[0], x @ weight.T + bias, atol=1e-6)
    np.testing.assert_allclose(interpret("linear", x=x, weight=weight)[0], x @ weight.T, atol=1e-6)


@pytest.mark.parametrize(("transpose_x", "transpose_y"), [(False, False), (True, False), (False, True)])
def test_matrix_product(transpose_x: bool, transpose_y: bool, interpret: Run, normal: Normal) -> None:
    left, right = normal(2, 3, 5, 4), normal(3, 4, 6)
    x = left.swapaxes(-1, -2).copy() if transpose_x else left
    y = right.swapaxes(-1, -2).copy() if transpose_y else right
    got = interpret("matmul", x=x, y=y, transpose_x=transpose_x, transpose_y=transpose_y)[0]
    np.testing.assert_allclose(got, left @ right, atol=1e-6)


def test_half_precision_sums_in_float32(interpret: Run) -> None:
    x = np.full((1, 4096), 1.0, np.float16)
    weight = np.full((1, 4096), 1.0009765625, np.float16)
    np.testing.assert_array_equal(interpret("linear", x=x, weight=weight)[0], [[4100.0]])


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("nchw,nwhu->nchu", [(2, 3, 4, 5), (2, 5, 4, 6)]),
        ("chw,whr->chr", [(3, 4, 5), (5, 4, 6)]),
        ("nchw,nwhu->nchu", [(1, 3, 4, 5), (2, 5, 1, 6)]),
    ],
)
def test_product_by_equation(
    equation: str, shapes: list[tuple[int, ...]], interpret: Run, infer: Run, normal: Normal
) -> None:
    values = tuple(normal(*shape) for shape in shapes)
    got = interpret("einsum", values=values, equation=equation)[0]
    np.testing.assert_allclose(got, infer("einsum", values=values, equation=equation)[0], atol=1e-5)


@pytest.mark.parametrize("equation", ["bchq,bkhc->bkhq", "bkhq,bchk->bchq", "ij,jk->ik", "ij,ik->ij", "i,j->ij"])
def test_product_by_any_equation(equation: str, normal: Normal) -> None:
    sizes = dict(b=2, c=3, h=4, k=5, q=6, i=3, j=4)
    operands = tuple(T(normal(*(sizes[name] for name in names))) for names in equation.split("->")[0].split(","))
    if equation == "ij,ik->ij":
        with pytest.raises(ExportError, match=r"einsum: expected a product of two tensors such as .*, got 'ij,ik->ij'"):
            einsum(operands, equation)
    else:
        torch.testing.assert_close(einsum(operands, equation), torch.einsum(equation, *operands))


@pytest.mark.parametrize("mask", [None, "float", "bool"])
@pytest.mark.parametrize("scores", [2**24, 20])
def test_attention(
    mask: str | None, scores: int, interpret: Run, normal: Normal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.coreml.interpret.product.SCORES", scores)
    query, key, value = normal(2, 3, 5, 4), normal(2, 3, 7, 4), normal(2, 3, 7, 6)
    chosen = {None: None, "float": normal(5, 7), "bool": normal(1, 1, 5, 7) > -0.5}[mask]
    given = {} if chosen is None else {"attn_mask": chosen}
    got = interpret("scaled_dot_product_attention", "iOS18", query=query, key=key, value=value, **given)[0]
    masks = None if chosen is None else T(chosen)
    expected = F.scaled_dot_product_attention(T(query), T(key), T(value), masks)
    np.testing.assert_allclose(got, expected, atol=1e-5)
