"""Attention by parts against torch's own, however small the parts are."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from export.rewrites import attention_in_parts as parts
from export.rewrites.parted_attention import parted_attention, replacement
from export.rewrites.replacement import replaced
from mobile_diffusion.autoencoder import PixelAttention
from mobile_diffusion.transformer import Attention

BYTES = [2 * 7 * 9 * 4, 3 * 9 * 4, 1]
NAMES = ["some heads", "some queries", "one query"]


@pytest.mark.parametrize("scores", BYTES, ids=NAMES)
def test_it_is_torchs(scores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the parts do not come out even."""
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, length, 12, dtype=torch.float64) for length in (7, 9, 9))
    monkeypatch.setattr(parts, "SCORES", scores)
    heads = [x.unflatten(-1, (3, 4)).transpose(1, 2) for x in (query, key, value)]  # (B, heads, N, 4) each
    expected = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
    torch.testing.assert_close(parted_attention(query, key, value, heads=3), expected)


def test_small_attention_is_left_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def products() -> int:
        module = replaced(Attention(8, 8, 2), replacement)
        program = torch.export.export(module, (x, x)).run_decompositions()
        return sum(str(node.target) == "aten.bmm.default" for node in program.graph.nodes)

    x = torch.zeros(1, 4, 8)
    monkeypatch.setattr(parts, "SCORES", 2 * 4 * 4 * 4)
    assert products() == 2
    monkeypatch.setattr(parts, "SCORES", 2 * 4 * 4 * 4 - 1)
    assert products() == 4


@torch.no_grad()
@pytest.mark.parametrize("scores", [*BYTES, 2**30], ids=[*NAMES, "whole"])
def test_modules_keep_their_results(scores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(parts, "SCORES", scores)
    of_text, of_pixels = Attention(12, 10, 3), PixelAttention(8, 4)
    x, context, pixels = torch.randn(2, 7, 12), torch.randn(2, 9, 10), torch.randn(1, 8, 3, 5)
    torch.testing.assert_close(replaced(of_text, replacement)(x, context), of_text(x, context))
    torch.testing.assert_close(replaced(of_pixels, replacement)(pixels), of_pixels(pixels))
