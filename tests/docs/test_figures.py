"""Every figure between markers has a file of results behind it, and no file is older than the model that it speaks of.

Each document is written again from the results: what stands in it must be what its script writes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks.documents import (
    android,
    big_pictures,
    checkpoints,
    coreai,
    coreml,
    fuzz,
    markers,
    measurements,
    mutation,
    prompts,
    robustness,
    snapfusion,
)
from benchmarks.measuring.results import CHECKPOINT, PRESENT, read_result, rows_of_present, stamp
from benchmarks.paths import EMOJI, RESULTS, ROOT
from benchmarks.training import scale_plan
from mobile_diffusion.checkpoint import source_hash

WRITERS: Mapping[ModuleType, tuple[object, ...]] = {
    android: (),
    big_pictures: (),
    checkpoints: (),
    coreai: (),
    coreml: (),
    measurements: (False,),
    fuzz: (),
    mutation: (),
    prompts: (),
    robustness: (),
    snapfusion: (snapfusion.RESULT, snapfusion.PAGE),
    scale_plan: (True,),
}
"""Script -> the arguments of its `main`."""
NO_FIGURES = {("docs/architecture.md", "layers"), ("docs/checkpoints.md", "opened")}
"""Tables of names that other tests compare: tests/test_layers.py and test_evidence.py."""
Written = Mapping[tuple[str, str], str]
"""(page, marker) -> what the script writes between them."""


@pytest.fixture(scope="module")
def written() -> Written:
    """What all scripts write, without writing it."""
    found: dict[tuple[str, str], str] = {}

    def keep(page: Path, contents: Mapping[str, str]) -> None:
        found.update({(page.relative_to(ROOT).as_posix(), name): text for name, text in contents.items()})

    with pytest.MonkeyPatch.context() as patch:
        for module, arguments in WRITERS.items():
            patch.setattr(module, "fill_page", keep)
            module.main(*arguments)
    return found


def marked() -> list[tuple[str, str]]:
    """Every pair of markers in the documents: page and name."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [
        (page.relative_to(ROOT).as_posix(), name)
        for page in pages
        for name in re.findall(r"<!-- /([\w -]+) -->", page.read_text(encoding="utf-8"))
    ]


def test_every_pair_of_markers_has_a_script(written: Written) -> None:
    assert len(written) > 30
    assert set(marked()) - NO_FIGURES == set(written)


@pytest.mark.parametrize("place", [each for each in marked() if each not in NO_FIGURES], ids="-".join)
def test_the_document_says_what_its_results_say(place: tuple[str, str], written: Written) -> None:
    text = (ROOT / place[0]).read_text(encoding="utf-8")
    assert markers.fill(text, place[1], written[place]) == text, "run the script that the marker names"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.name)
def test_no_result_is_older_than_the_model_it_names(path: Path) -> None:
    """Results of an earlier model have another name, such as emoji-27M."""
    hashes = {row.get(CHECKPOINT) for row in rows_of_present(read_result(path, None))}
    assert hashes <= {source_hash(EMOJI)}, "measure again, rename the rows, or run benchmarks.documents.stamp"


def test_new_rows_name_the_checkpoint_and_old_ones_keep_theirs() -> None:
    found = {
        "rows": [{"model": PRESENT}, {"model": PRESENT, CHECKPOINT: "old"}, {"model": "sd15"}],
        "x": [{"name": PRESENT}],
    }
    stamp(found, list(rows_of_present(found)))
    present = source_hash(EMOJI)
    assert [row.get(CHECKPOINT) for row in found["rows"]] == [present, "old", None]
    assert found["x"][0][CHECKPOINT] == present
