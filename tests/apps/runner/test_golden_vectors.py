"""Golden vectors replayed in C++: the distances are those that Python measures, and a wrong program is caught."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.apps.conftest import CopyOf, reseal
from tests.apps.runner.conftest import Run, refusal


def replay(run: Run, bundle: Path, *options: object, status: int = 0) -> dict[str, Any]:
    done = run("--bundle", bundle, "--golden", *options)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def worst(report: dict[str, Any], check: str) -> float:
    return min(
        entry.get("snr_db", entry.get("psnr_db"))
        for case in report["cases"]
        for entry in case["checks"]
        if entry["check"] == check
    )


@pytest.mark.parametrize("name", ["guided", "distilled"])
def test_every_check_is_as_near_as_python_measured(name: str, run: Run, request: pytest.FixtureRequest) -> None:
    bundle = request.getfixturevalue(name)
    report = replay(run, bundle)
    parity = json.loads((bundle / "manifest.json").read_text())["parity"]
    expected = {entry["check"]: entry["worst"] for entry in parity if entry["check"] != "prediction"}
    assert report["passed"] and {"encode_text", "denoise", "decode_image", "free_running", "picture"} <= set(expected)
    for check, value in expected.items():
        assert worst(report, check) == pytest.approx(value, abs=1e-6), check
    checks = [entry for case in report["cases"] for entry in case["checks"]]
    assert all(entry["passed"] for entry in checks)


def test_a_redrawn_picture_is_replayed_from_where_it_began(distilled: Path, run: Run) -> None:
    index = json.loads((distilled / "golden" / "index.json").read_text())
    late = next(number for number, case in enumerate(index["cases"]) if case["first_step"] > 0)
    case = replay(run, distilled)["cases"][late]
    steps = [entry["step"] for entry in case["checks"] if entry["check"] == "free_running"]
    assert steps == list(range(index["cases"][late]["first_step"], 4))
    assert any(entry["check"] == "encode_image" for entry in case["checks"])


def test_depth_step_is_one_step_and_a_decoding(guided: Path, run: Run) -> None:
    report = replay(run, guided, "--depth", "step")
    names = [entry["check"] for entry in report["cases"][0]["checks"]]
    assert names == ["tokens", "encode_text", "encode_text", "denoise", "decode_image"]
    assert report["passed"] and report["depth"] == "step"


@pytest.mark.parametrize(
    ("name", "check"), [("states", "free_running"), ("context", "encode_text"), ("tokens", "tokens")]
)
def test_another_reference_is_missed(name: str, check: str, guided: Path, copy_of: CopyOf, run: Run) -> None:
    copy = copy_of(guided)
    path = f"golden/0/{name}.bin"
    values = np.fromfile(copy / path, "<i4" if name == "tokens" else "<f4")
    values[-1] += 3
    values.tofile(copy / path)
    assert "SHA-256" in refusal(run, "--bundle", copy, "--golden")
    reseal(copy, path)
    report = replay(run, copy, status=1)
    missed = {entry["check"] for entry in report["cases"][0]["checks"] if not entry["passed"]}
    assert not report["passed"] and check in missed


def test_nan_in_a_reference_passes_no_limit(guided: Path, copy_of: CopyOf, run: Run) -> None:
    copy = copy_of(guided)
    values = np.fromfile(copy / "golden/0/image.bin", "<f4")
    values[5] = np.nan
    values.tofile(copy / "golden/0/image.bin")
    reseal(copy, "golden/0/image.bin")
    report = replay(run, copy, status=1)
    missed = [entry for entry in report["cases"][0]["checks"] if not entry["passed"]]
    assert {entry["check"] for entry in missed} == {"decode_image", "picture"}
    assert all(entry["max_abs"] is None for entry in missed)


def test_malformed_vectors_are_refused(guided: Path, copy_of: CopyOf, run: Run) -> None:
    copy = copy_of(guided)
    for text in ("{}", '{"cases": []}', '{"cases": [{"prompt": 1}]}', "x"):
        (copy / "golden" / "index.json").write_text(text)
        reseal(copy, "golden/index.json")
        refusal(run, "--bundle", copy, "--golden")


@pytest.mark.parametrize(("name", "value"), [("first_step", 1), ("first_step", -1), ("seed", "x"), ("tensors", {})])
def test_vectors_of_other_steps_are_refused(name: str, value: object, guided: Path, copy_of: CopyOf, run: Run) -> None:
    copy = copy_of(guided)
    index = json.loads((copy / "golden" / "index.json").read_text())
    index["cases"][0][name] = value
    (copy / "golden" / "index.json").write_text(json.dumps(index))
    reseal(copy, "golden/index.json")
    assert "golden/index.json" in refusal(run, "--bundle", copy, "--golden")
