"""Two lowerings of one stage in one process have the same bytes, and coreai-core is as it was afterwards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from secrets import choice

from export.coreai.asset import METADATA, PROGRAM, check_asset
from export.coreai.canonical import NAMING, take_date
from export.coreai.lower import lower
from export.stages import ExportStage
from tests.export.coreai_packages import needs_coreai

pytestmark = needs_coreai


def test_two_lowerings_have_the_same_bytes(tiny_stages: Mapping[str, ExportStage], tmp_path: Path) -> None:
    found = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        path = folder / lower(tiny_stages["decode_image"], folder)
        check_asset(path)
        found.append({each.name: each.read_bytes() for each in path.iterdir()})
    assert found[0] == found[1]
    assert b"group_norm_" in found[0][PROGRAM]  # it has names that would be random
    assert all(import_module(module).choice is choice for module in NAMING)


def test_metadata_has_no_date_and_sorted_keys(tmp_path: Path) -> None:
    given = {"producer": "coreai-core 1.0.0b3", "creationDate": "20261130T172644Z", "assetVersion": "2.0"}
    (tmp_path / METADATA).write_text(json.dumps(given))
    take_date(tmp_path)
    kept = json.loads((tmp_path / METADATA).read_text())
    assert list(kept) == sorted(given) and kept == given | {"creationDate": "19700101T000000Z"}
