"""What compressed weights may lose: fewer bits may lose more, and no name goes without limits."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from export.compression import RECIPES
from export.parity.compressed import LOSSES, bits_of
from export.parity.gates import LEAST_DB, limits
from export.parity.measure import CHECKS
from export.runtime import graded
from mobile_diffusion.errors import ExportError


@pytest.mark.parametrize(
    ("name", "bits"),
    [("int8", 8), ("int4-block", 4), ("palettize-3-pairs", 3), ("mixed-4.5", 4), ("mixed-5.9", 4), ("mixed-7.0", 6)],
)
def test_bits_are_read_from_the_name(name: str, bits: int) -> None:
    assert bits_of(name) == bits


@pytest.mark.parametrize("name", ["", "tiny", "palettize-1", "mixed-1.9"])
def test_a_name_without_enough_bits_is_refused(name: str) -> None:
    with pytest.raises(ExportError, match="2 bits or more"):
        bits_of(name)


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "none"])
@pytest.mark.parametrize("check", CHECKS)
def test_every_recipe_has_limits_below_those_of_whole_weights(name: str, check: str) -> None:
    whole, fewer = limits("fp16", check, 7.5), limits(f"fp16 {name}", check, 7.5)
    assert [each.metric for each in fewer] == [each.metric for each in whole]
    for strict, loose in zip(whole, fewer, strict=True):
        assert (LEAST_DB if loose.metric.endswith("db") else 0) <= loose.at_least < strict.at_least


def test_fewer_bits_may_lose_more() -> None:
    losses = [LOSSES[bits] for bits in sorted(LOSSES)]
    for fewer, more in itertools.pairwise(losses):
        for name in ("denoise", "prediction", "free_running", "picture", "ssim"):
            assert getattr(fewer, name) < getattr(more, name)


RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
MEASURED = [
    *json.loads((RESULTS / "coreml_variants.json").read_text())["models"]["emoji"],
    *json.loads((RESULTS / "coreai_compression.json").read_text())["rows"],
]


@pytest.mark.parametrize(
    "row", [row for row in MEASURED if row["compression"] in RECIPES], ids=lambda r: r["compression"]
)
def test_what_was_measured_of_the_shipped_model_passes(row: dict[str, Any]) -> None:
    for check, worst in row["worst_db"].items():
        for limit in limits(graded("fp16", row["compression"]), check):
            assert limit.metric == "ssim" or worst >= limit.at_least, (check, limit)
