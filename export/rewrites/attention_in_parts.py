"""Attention in parts, so that the score matrix never exists whole.

A part is several rows (a row is one head of one picture) or several queries of one row.  Rows are divided first,
because that costs no time; if queries are divided, the keys are packed or read again for each part.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SCORES = 128 * 2**20
"""Most bytes of float32 scores in memory at once.  64x64 positions, two pictures and eight heads have 1 GiB of scores,
which are computed in eight parts."""
FLOAT_BYTES = 4

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Takes a query (R, Q, size), key and value; returns (R, Q, size)."""


def attend_in_parts(attend: Attend, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Return attention (R, Q, size), computed in parts whose scores take at most SCORES bytes (but at least one query).

    query (R, Q, size), value (R, K, size), key (R, ...) as `attend` takes it.
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
    """Like `Tensor.split`, but by slices, because XNNPACK does not support a split."""
    length = x.shape[dim]
    return [x] if count >= length else [x.narrow(dim, at, min(count, length - at)) for at in range(0, length, count)]


def _join(parts: list[Tensor], dim: int) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)
