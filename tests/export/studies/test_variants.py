"""A model's packages side by side: what fewer bits and another layout cost, as the table shows it."""

from __future__ import annotations

import pytest

from export.coreml.options import CoreMLOptions
from export.parity.trajectories import Case
from export.studies.variants import CHECKS, COLUMNS, VariantRow, cells, measure_variants, variants_table
from mobile_diffusion.checkpoint import Model

pytestmark = pytest.mark.full
VARIANTS = (
    CoreMLOptions(),
    CoreMLOptions(compression="palettize-4"),
    CoreMLOptions("CPU_AND_NE"),
)


@pytest.fixture(scope="module")
def rows(tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> list[VariantRow]:
    """The tiny model in three ways."""
    work = tmp_path_factory.mktemp("variants")
    return measure_variants(tiny_model, VARIANTS, work, (Case("a red apple, 3d", 7),), threads=1)


def test_every_variant_has_a_row_and_nothing_overflows(rows: list[VariantRow]) -> None:
    assert [(row.compression, row.layout) for row in rows] == [
        ("none", "gpu"),
        ("palettize-4", "gpu"),
        ("none", "neural-engine"),
    ]
    for row in rows:
        assert set(row.worst_db) == set(CHECKS)
        assert row.overflows == 0


def test_fewer_bits_are_smaller_and_further_from_pytorch(rows: list[VariantRow]) -> None:
    whole, fewer, other = rows
    assert fewer.size_bytes < 0.6 * whole.size_bytes
    assert fewer.worst_db["prediction"] < whole.worst_db["prediction"] - 10
    assert min(whole.worst_db["prediction"], other.worst_db["prediction"]) > 35


def test_the_table_has_a_cell_for_every_column(rows: list[VariantRow]) -> None:
    assert len(cells(rows[0])) == len(COLUMNS)
    assert variants_table(rows).row_count == len(rows)
