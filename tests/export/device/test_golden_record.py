"""`mobile-diffusion device verify`: a phone's distances are shown beside this computer's, and only those that count."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from export.bundle.bundle import open_bundle
from export.device.golden_record import parse_record, schema
from export.job.run import Exported
from mobile_diffusion.errors import BundleError
from tests.export.cli.test_commands import Command, assert_refused, command
from tests.export.device.conftest import TIMES, Faults

__all__ = ["command"]


@pytest.fixture(params=["android", "ios"])
def bundle(request: pytest.FixtureRequest, exported: Mapping[str, Exported]) -> Path:
    return exported[request.param].bundle.path


def install(phone: Path, bundle: Path) -> None:
    """What `device push` would bring, as far as the command looks for it."""
    model = phone / "app" / "files" / "models" / open_bundle(bundle, verify=False).manifest.model.name
    model.mkdir(parents=True)
    (model / "manifest.json").write_bytes((bundle / "manifest.json").read_bytes())
    (phone / "app" / "Documents" / "golden").mkdir(parents=True)


def record_of(bundle: Path) -> dict[str, Any]:
    """What an app would write that measures what this computer measured, by its first runtime on two units."""
    manifest = open_bundle(bundle, verify=False).manifest
    runtime = manifest.runtimes[0].name
    rows = [row for row in manifest.parity if row.runtime == runtime and row.metric in ("snr_db", "psnr_db")]
    checks = [
        {"check": row.check, row.metric: min(row.worst, 300.0), "limit": row.limit, "max_abs": 0.0, "passed": True}
        for row in rows
    ]
    case = {"prompt": "a cat", "seed": "7", "checks": [{"check": "tokens", "passed": True}, *checks], "passed": True}
    report = {"model": "tiny", "precision": "fp32", "depth": "trajectory", "cases": [case], "passed": True}
    units = [
        {"runtime": runtime, "unit": unit, "version": "1", "report": copy.deepcopy(report), "error": ""}
        for unit in ("gpu", "cpu")
    ]
    return {"schema_version": 1, "conditions": TIMES["conditions"], "units": units}


def check_of(record: dict[str, Any], unit: int, name: str) -> dict[str, Any]:
    checks: list[dict[str, Any]] = record["units"][unit]["report"]["cases"][0]["checks"]
    return next(check for check in checks if check["check"] == name)


def test_every_distance_beside_this_computers(phone: Path, bundle: Path, command: Command, tmp_path: Path) -> None:
    record = record_of(bundle)
    (phone / "golden.json").write_text(json.dumps(record))
    install(phone, bundle)
    out = tmp_path / "phone.json"
    shown = command("device", "verify", str(bundle), "--threads", "3", "--out", str(out))
    assert shown.status == 0, shown.err
    assert json.loads((phone / "asked.json").read_text()) == {"threads": "3"}
    assert json.loads(out.read_text()) == record
    runtime = record["units"][0]["runtime"]
    assert f"the app draws with {runtime} gpu; 2 of 2 units keep every limit" in shown.out
    printed = json.loads(command("device", "verify", str(bundle), "--json").out)
    jsonschema.validate(printed, schema())
    assert printed["passed"] == [f"{runtime} gpu", f"{runtime} cpu"]
    worst = check_of(record, 0, "denoise")["snr_db"]
    assert {row["worst"] for row in printed["computer"] if row["check"] == "denoise"} == {worst}


@pytest.mark.parametrize("value", [-3.0, None])
def test_a_planted_unit_is_missed_whatever_the_app_says(
    value: float | None, phone: Path, bundle: Path, command: Command
) -> None:
    record = record_of(bundle)
    check_of(record, 0, "denoise").update(snr_db=value, limit=-100.0)
    (phone / "golden.json").write_text(json.dumps(record))
    install(phone, bundle)
    runtime = record["units"][0]["runtime"]
    shown = command("device", "verify", str(bundle))
    assert shown.status == 0 and f"draws with {runtime} cpu; 1 of 2 units" in shown.out and ", missed" in shown.out
    check_of(record, 1, "tokens")["passed"] = False
    (phone / "golden.json").write_text(json.dumps(record))
    shown = command("device", "verify", str(bundle))
    assert shown.status == 2 and "no unit of this phone keeps every limit" in shown.out


def test_a_unit_that_did_not_run_says_why(phone: Path, bundle: Path, command: Command) -> None:
    record = record_of(bundle)
    record["units"][0] |= {"report": None, "error": "denoise: expected outputs, got an error"}
    (phone / "golden.json").write_text(json.dumps(record))
    install(phone, bundle)
    shown = command("device", "verify", str(bundle))
    assert shown.status == 0 and "gpu: did not run: denoise: expected outputs" in shown.out
    jsonschema.validate(json.loads(command("device", "verify", str(bundle), "--json").out), schema())


def test_the_apps_own_message(phone: Path, bundle: Path, command: Command, faults: Faults) -> None:
    (phone / "golden.json").write_text("")
    install(phone, bundle)
    faults(result=["error", "golden/index.json: expected a file, got none"])
    assert_refused(command("device", "verify", str(bundle)), "expected distances, got an error from the phone: golden/")


@pytest.mark.parametrize("text", ["x", "[]", "{}", json.dumps({"schema_version": 1, "conditions": {}, "units": []})])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(BundleError, match="expected the distances of golden drawings, got .*; update the app"):
        parse_record(text, "the phone")


def test_nan_is_the_worst(exported: Mapping[str, Exported]) -> None:
    record = record_of(exported["android"].bundle.path)
    check_of(record, 0, "picture")["psnr_db"] = None
    assert math.isnan(parse_record(json.dumps(record), "the phone").units[0].worst()["picture"])
