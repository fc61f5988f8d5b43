"""Attention whose scores are never held whole: some rows (a picture's head each) at a time, or some queries of one.

Rows are what to divide by: their parts are as fast as the whole, while keys are packed or read anew for each part of
the queries.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SCORES = 128 * 2**20
"""Bytes of float32 scores held at once: at 64x64 positions, two pictures and eight heads, 1 GiB in eight parts."""
FLOAT_BYTES = 4

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Query (R, Q, size), key and value -> (R, Q, size)."""


def attend_in_parts(attend: Attend, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`attend`, so often that scores take at most SCORES bytes at once, or those of one query.

    query (R, Q, size), value (R, K, size), key (R, ...) as `attend` takes it -> (R, Q, size).
    """
    queries, keys = query.shape[1], value.shape[1]
    row_count = max(1, SCORES // (queries * keys * FLOAT_BYTES))
    query_count = queries if row_count > 1 else max(1, SCORES // (keys * FLOAT_BYTES))
    rows = [
        _join([attend(part, *others) for part in _split(queried, query_count, dim=1)], dim=1)
        for queried, *others in zip(*(_split(x, row_count, dim=0) for x in (query, key, value)), strict=True)
    ]
    return _join(rows, dim=0)


def _split(x: Tensor, count: int, dim: int) -> list[Tensor]:
    """`Tensor.split`, by slices: XNNPACK does not take a split."""
    length = x.shape[dim]
    return [x] if count >= length else [x.narrow(dim, at, min(count, length - at)) for at in range(0, length, count)]


def _join(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)
