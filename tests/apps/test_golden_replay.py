"""Every language replays a bundle's golden drawings: its distances are those that Python measured at export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.apps.conftest import CopyOf, refused, reseal
from tests.apps.languages import Language

PLANTED = [
    ("states", "free_running"),
    pytest.param("context", "encode_text", marks=pytest.mark.full),
    pytest.param("tokens", "tokens", marks=pytest.mark.full),
]


def replay(language: Language, bundle: Path, status: int = 0) -> dict[str, Any]:
    done = language.draw("--bundle", bundle, "--golden")
    assert done.returncode == status, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["passed"] is (status == 0) and report["depth"] == "trajectory"
    return report


def checks_of(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for case in report["cases"] for entry in case["checks"]]


def test_every_distance_is_pythons(language: Language, bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    found: dict[str, float] = {}
    for entry in checks_of(replay(language, bundle)):
        db = entry.get("snr_db", entry.get("psnr_db"))
        assert entry["passed"] and (db is None or entry["limit"] <= db)
        if db is not None:
            found[entry["check"]] = min(db, found.get(entry["check"], db))
    expected = {each["check"]: each["worst"] for each in manifest["parity"] if each["check"] != "prediction"}
    assert set(found) == set(expected) >= {"encode_text", "denoise", "decode_image", "free_running", "picture"}
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("name", "check"), PLANTED)
def test_a_planted_reference_is_missed(
    name: str, check: str, language: Language, guided: Path, copy_of: CopyOf
) -> None:
    copy = copy_of(guided)
    path = f"golden/0/{name}.bin"
    values = np.fromfile(copy / path, "<i4" if name == "tokens" else "<f4")
    values[-1] += 3
    values.tofile(copy / path)
    assert "SHA-256" in refused(language.draw("--bundle", copy, "--golden"))
    reseal(copy, path)
    missed = {entry["check"] for entry in checks_of(replay(language, copy, status=1)) if not entry["passed"]}
    assert check in missed and missed <= {check, "denoise", "free_running"}


@pytest.mark.full
def test_nan_passes_no_limit(language: Language, guided: Path, copy_of: CopyOf) -> None:
    copy = copy_of(guided)
    values = np.fromfile(copy / "golden/0/image.bin", "<f4")
    values[5] = np.nan
    values.tofile(copy / "golden/0/image.bin")
    reseal(copy, "golden/0/image.bin")
    missed = [entry for entry in checks_of(replay(language, copy, status=1)) if not entry["passed"]]
    assert {entry["check"] for entry in missed} == {"decode_image", "picture"}
    assert all(entry["max_abs"] is None for entry in missed)


@pytest.mark.full
@pytest.mark.parametrize(("name", "value"), [("first_step", 1), ("first_step", -1), ("seed", "x"), ("tensors", {})])
def test_vectors_of_other_steps_are_refused(
    name: str, value: object, language: Language, guided: Path, copy_of: CopyOf
) -> None:
    copy = copy_of(guided)
    index = json.loads((copy / "golden" / "index.json").read_text())
    index["cases"][0][name] = value
    (copy / "golden" / "index.json").write_text(json.dumps(index))
    reseal(copy, "golden/index.json")
    assert "golden/index.json" in refused(language.draw("--bundle", copy, "--golden"))


def test_golden_draws_nothing_else(language: Language, guided: Path) -> None:
    asked = ("--bundle", guided, "--golden", "--prompt", "a cat")
    assert "--golden: expected no --prompt" in refused(language.draw(*asked))
