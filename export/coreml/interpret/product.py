"""MIL's matrix products: linear layers, `matmul`, `einsum`, and the fused attention of iOS 18.

Sums are in float32, and only the result is rounded, which is the best that a device can do; `accumulate.py` has the
same operations with rounded sums.  Parameters have MIL's names.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from export.coreml.interpret.attributes import is_set
from export.coreml.interpret.instruction import Operation
from mobile_diffusion.errors import ExportError
from mobile_diffusion.quoting import quoted

Product = Callable[[Tensor, Tensor], Tensor]
"""Takes (..., M, K) and (..., K, N); returns (..., M, N)."""
SCORES = 2**24
"""Most attention scores in memory at once."""


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weight^T + bias."""
    return F.linear(x, weight, bias)


def transposed(x: Tensor, transpose: Tensor | None) -> Tensor:
    """Return x with its last two axes exchanged if `transpose` is set; a vector is returned unchanged."""
    return x.transpose(-1, -2) if is_set(transpose) and x.dim() > 1 else x


def matmul(x: Tensor, y: Tensor, transpose_x: Tensor | None = None, transpose_y: Tensor | None = None) -> Tensor:
    """Matrix product with numpy's broadcasting; vectors are not transposed."""
    return torch.matmul(transposed(x, transpose_x), transposed(y, transpose_y))


def einsum(values: tuple[Tensor, ...], equation: str) -> Tensor:
    """Product of two tensors by an einsum equation; axes of size 1 broadcast."""
    return einsum_by(torch.matmul, values, equation)


def einsum_by(product: Product, values: tuple[Tensor, ...], equation: str) -> Tensor:
    """`einsum` by a matrix product: the tensors are reshaped to (batch, rows, sum) and (batch, sum, columns)."""
    (left, right), output = letters(equation, len(values))
    x, y = values
    both = [each for each in left if each in right]
    batch, summed = [each for each in both if each in output], [each for each in both if each not in output]
    rows, columns = ([each for each in names if each not in both] for names in (left, right))
    x, y = matched(x, y, left, right)
    sizes = dict(zip(left, x.shape, strict=True)) | dict(zip(right, y.shape, strict=True))
    shapes = [[sizes[each] for each in names] for names in (batch, rows, columns)]
    first = x.permute([left.index(each) for each in (*batch, *rows, *summed)])
    second = y.permute([right.index(each) for each in (*batch, *summed, *columns)])
    inner = math.prod(sizes[each] for each in summed)
    first = first.reshape(*shapes[0], math.prod(shapes[1]), inner)  # (*batch, rows, sum)
    second = second.reshape(*shapes[0], inner, math.prod(shapes[2]))  # (*batch, sum, columns)
    result = product(first, second).reshape([*shapes[0], *shapes[1], *shapes[2]])
    order = [*batch, *rows, *columns]
    return result.permute([order.index(each) for each in output])


def letters(equation: str, count: int) -> tuple[list[str], str]:
    """Return the axes of both operands and of the result.

    Raises:
        ExportError: there are not two operands, an axis occurs twice in one, or the sum is over an axis of only one.
    """
    operands, _, output = equation.replace(" ", "").partition("->")
    names = operands.split(",")
    plain = all(each.isalpha() and len(set(each)) == len(each) for each in (*names, output))
    if count != 2 or len(names) != 2 or not plain or not set(names[0]) ^ set(names[1]) <= set(output):
        raise ExportError(
            f"einsum: expected a product of two tensors such as 'nchw,nwhu->nchu', got {quoted(equation)}"
        )
    return names, output


def matched(x: Tensor, y: Tensor, left: str, right: str) -> tuple[Tensor, Tensor]:
    """Return both tensors with axes of size 1 expanded to the size of the other tensor's axis with the same letter."""
    first, second = list(x.shape), list(y.shape)
    for place, name in enumerate(left):
        if name in right:
            size = max(first[place], second[right.index(name)])
            first[place] = second[right.index(name)] = size
    return x.expand(first), y.expand(second)


def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """softmax(query key^T / sqrt(E) + mask) value: (..., L, E), (..., S, E), (..., S, V) -> (..., L, V)."""
    if attn_mask is not None:
        attn_mask = attn_mask.broadcast_to(*query.shape[:-1], key.shape[-2])
    rows = max(SCORES // max(math.prod(query.shape[:-2]) * key.shape[-2], 1), 1)
    pieces = []
    for first in range(0, query.shape[-2], rows):  # in pieces: all scores of Stable Diffusion take a gigabyte
        mask = None if attn_mask is None else attn_mask[..., first : first + rows, :]
        pieces.append(attention_rows(query[..., first : first + rows, :], key, value, mask))
    return torch.cat(pieces, dim=-2)


def attention_rows(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of some queries, as defined in MIL's documentation."""
    scores = torch.matmul(query, key.transpose(-1, -2)) / math.sqrt(query.shape[-1])
    return torch.matmul((scores if mask is None else masked(scores, mask)).softmax(-1), value)


def masked(scores: Tensor, mask: Tensor) -> Tensor:
    """Return scores with a mask added, or, for a boolean mask, with scores set to -inf where it is False."""
    return scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask


PRODUCT: dict[str, Operation] = {
    "einsum": einsum,
    "linear": linear,
    "matmul": matmul,
    "scaled_dot_product_attention": scaled_dot_product_attention,
}
