"""Faults of every stage, planted into ONNX programs, are caught; `make mutation` plants all of them everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.measuring.results import read_result
from benchmarks.mutation.catalogue import FAULTS, TEXT
from benchmarks.mutation.run import RESULT, WAYS, plant_all

SAMPLE = (TEXT[1], *(fault for fault in FAULTS if fault.name == "red and green swapped"))


def test_a_sample_is_caught_where_it_was_planted(tmp_path: Path) -> None:
    words, colours = plant_all("onnx-fp32", tmp_path, SAMPLE)
    assert words.by[0] == "encode_text"
    assert colours.by[0] == "decode_image"


def test_names_are_given_once() -> None:
    assert len({(fault.stage, fault.name) for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("way", WAYS)
def test_the_results_have_no_miss_without_a_reason(way: str) -> None:
    rows = {(row["stage"], row["fault"]): row["by"] for row in read_result(RESULT, None)["rows"] if row["way"] == way}
    assert set(rows) == {(fault.stage, fault.name) for fault in FAULTS}
    assert [fault for fault in FAULTS if not fault.undetectable and not rows[fault.stage, fault.name]] == []
