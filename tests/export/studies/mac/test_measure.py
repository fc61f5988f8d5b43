"""The plumbing of measuring on a Mac, over a stand-in of coremltools that is named as one; and that our calls fit."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from export.bundle.bundle import open_bundle
from export.cli import guard
from export.coreml.options import COMPUTE_UNITS
from export.job.run import Exported
from export.runners.coreml_native import array_of
from export.signatures import STAGES
from export.studies.mac import measure as measuring
from export.studies.mac.measure import check_units, measure_bundle
from export.studies.mac.plan import operations, shares
from export.studies.mac.record import MacMeasurements, UnitMeasured, read_measured, write_measured
from export.studies.mac.report import check_bundle, parity_table, read_host, times_table
from export.studies.mac.surface import open_core_ml, real_core_ml
from mobile_diffusion.config_json import to_dict
from mobile_diffusion.errors import BundleError, ConfigError, ExportError
from tests.export.studies.mac.fake_coremltools import SYSTEM, FakeCoreML

TWO = ("CPU_ONLY", "CPU_AND_NE")


@pytest.fixture
def measure(exported: Mapping[str, Exported], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`measure(refuse="CPU_ONLY")`: what is measured of the tiny bundle over a stand-in, and the stand-in."""
    monkeypatch.setattr(measuring, "WARMUP", 0)
    monkeypatch.setattr(measuring, "RUNS", 2)

    def run(units: tuple[str, ...] = TWO, **options: Any) -> tuple[MacMeasurements, Any]:
        core_ml = FakeCoreML(**options)
        path = exported["ios"].bundle.path
        return measure_bundle(path, units, 1, core_ml=core_ml.surface(), system=SYSTEM), core_ml

    return run


def test_everything_is_measured_and_written(measure: Callable[..., Any], tmp_path: Path) -> None:
    found, core_ml = measure()
    assert found.verified and [unit.compute_units for unit in found.units] == list(TWO)
    assert [(one.stage, one.problem) for one in found.compilations] == [(stage, "") for stage in STAGES]
    for unit in found.units:
        assert [stage.stage for stage in unit.stages] == list(STAGES)
        for stage in unit.stages:
            assert stage.interpreter_db == 300.0 and not stage.problem and stage.runs == 2
            assert 0 < stage.first_quartile_ms <= stage.median_ms <= stage.third_quartile_ms
            assert stage.load_ms > 0 and stage.first_ms > 0
            names = {share.device: share.operations for share in shares(stage.plan)}
            assert names.keys() == {"CPU", "Neural Engine"} and sum(names.values()) == len(stage.plan)
            assert {operation.operator for operation in stage.plan if operation.device == "CPU"} == {"cast"}
        assert {"encode_text", "denoise", "prediction", "decode_image", "picture"} <= {c.check for c in unit.checks}
        assert all(check.passed and check.worst >= check.limit for check in unit.checks)
    write_measured(found, tmp_path / "measured.json")
    assert read_measured(tmp_path / "measured.json") == found
    assert_calls_fit(core_ml.calls)


def assert_calls_fit(calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]]) -> None:
    """Every call that was made of the stand-in is one that coremltools' own function takes."""
    from coremltools.models.compute_plan import MLComputePlan

    real = real_core_ml()
    functions: dict[str, Callable[..., Any]] = {
        "compile_model": real.compile_model,
        "CompiledMLModel": real.CompiledMLModel,
        "CompiledMLModel.predict": real.CompiledMLModel.predict,  # type: ignore[attr-defined]
        "MLComputePlan.load_from_path": MLComputePlan.load_from_path,
        "MLComputePlan.get_compute_device_usage_for_mlprogram_operation": (
            MLComputePlan.get_compute_device_usage_for_mlprogram_operation
        ),
        "MLComputePlan.get_estimated_cost_for_mlprogram_operation": (
            MLComputePlan.get_estimated_cost_for_mlprogram_operation
        ),
    }
    assert {name for name, _, _ in calls} == set(functions)
    for name, args, options in calls:
        inspect.signature(functions[name]).bind(*args, **options)
    with pytest.raises(TypeError):
        inspect.signature(real.compile_model).bind("package", folder="elsewhere")


def test_what_fails_on_one_unit_does_not_stop_the_others(measure: Callable[..., Any]) -> None:
    found, _ = measure(refuse="CPU_ONLY")
    broken, whole = found.units
    assert not found.verified and whole.passed and not broken.passed
    assert {stage.problem for stage in broken.stages} == {"RuntimeError: Error: fake failure on CPU_ONLY"}
    assert broken.problem == "not every stage ran: encode_text, denoise, decode_image" and not broken.checks


@pytest.mark.parametrize("value", [1e3, np.nan])
def test_wrong_outputs_are_not_verified(value: float, measure: Callable[..., Any], tmp_path: Path) -> None:
    found, _ = measure(("CPU_AND_NE",), changes={"CPU_AND_NE": lambda array: array + np.float32(value)})
    (unit,) = found.units
    assert not found.verified and not unit.passed
    assert not any(check.passed for check in unit.checks)
    assert all((check.worst is None) == np.isnan(value) for check in unit.checks)
    assert all((stage.interpreter_db is None) == np.isnan(value) for stage in unit.stages)
    write_measured(found, tmp_path / "measured.json")
    assert read_measured(tmp_path / "measured.json") == found


def test_without_a_plan_the_rest_is_measured(measure: Callable[..., Any]) -> None:
    found, _ = measure(("ALL",), planless=True)
    (unit,) = found.units
    assert found.verified
    assert {(stage.plan, "macOS >= 14.4" in stage.plan_problem) for stage in unit.stages} == {((), True)}


def shown(table: Any) -> str:
    console = Console(width=240, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table)
    return console.export_text()


def test_the_report_stands_beside_the_hosts_figures(
    measure: Callable[..., Any], exported: Mapping[str, Exported]
) -> None:
    bundle = open_bundle(exported["ios"].bundle.path)
    found, _ = measure(changes={"CPU_AND_NE": lambda array: array + np.float32(1)})
    check_bundle(found, bundle)
    host = read_host(bundle)
    times, parity = shown(times_table(found, host)), shown(parity_table(found, host))
    assert "Core ML on Fake M0" in times and "UNVERIFIED" in times and host.processor[:12] in times
    assert times.count("CPU_ONLY") == times.count("CPU_AND_NE") == 3
    assert f"{host.medians['denoise']:.1f}" in times and "300.0 dB" in times and "Neural Engine" in times
    assert parity.count(" FAILED") >= 4 and parity.count(" ok") == len(found.units[0].checks)
    assert f"{host.worst['picture']:.1f}" in parity
    other = dataclasses.replace(found, bundle=dataclasses.replace(found.bundle, manifest_sha256="0" * 64))
    with pytest.raises(BundleError, match=r"expected the bundle that was measured .*, got .*; give that one"):
        check_bundle(other, bundle)


def test_a_record_that_contradicts_itself_is_refused(measure: Callable[..., Any], tmp_path: Path) -> None:
    found, _ = measure(("CPU_ONLY",), refuse="CPU_ONLY")
    values, path = to_dict(found), tmp_path / "measured.json"
    changes: list[tuple[dict[str, Any], str]] = [
        ({"verified": True}, "verified: expected what the checks say, got true"),
        ({"format": "another"}, "expected 'mobile-diffusion-measured' of version 1, got 'another'"),
        ({"schema_version": 2}, "of version 2"),
        ({"extra": 1}, "unknown field 'extra'"),
        ({"units": "none"}, "expected a list"),
    ]
    for change, reason in changes:
        path.write_text(json.dumps(values | change, default=list))
        with pytest.raises(BundleError, match=reason) as caught:
            read_measured(path)
        assert "\n" not in str(caught.value)
    path.write_text("nothing")
    with pytest.raises(BundleError, match=r"measured.json: expected the file of `mobile-diffusion coreml measure`"):
        read_measured(path)
    with pytest.raises(BundleError, match=r"absent.json: expected .*No such file"):
        read_measured(tmp_path / "absent.json")


def test_nothing_measured_is_not_verified() -> None:
    assert not UnitMeasured("ALL", (), (), "").passed
    with pytest.raises(ConfigError, match=r"compute_units: expected one of .*, got 'TPU'"):
        UnitMeasured("TPU", (), (), "")


@pytest.mark.parametrize("units", [("TPU",), ()])
def test_unknown_units_are_refused(units: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match=r"compute_units: expected one of ALL, CPU_ONLY, CPU_AND_GPU, CPU_AND_NE"):
        check_units(units)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has Core ML")
def test_elsewhere_than_on_a_mac_it_refuses_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from export.cli import coreml

    with pytest.raises(ExportError, match=r"expected macOS, which has Core ML, got linux; .*mobile-diffusion verify"):
        open_core_ml()
    monkeypatch.setattr(sys, "argv", ["coreml", "measure", str(tmp_path), "--out", str(tmp_path / "measured.json")])
    with pytest.raises(SystemExit) as end:
        guard.run(coreml.app)
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert end.value.code == 2 and len(errors) == 1 and "expected macOS" in errors[0]
    assert list(tmp_path.iterdir()) == []


def test_the_real_functions_are_where_we_take_them_from() -> None:
    real = real_core_ml()
    assert set(real.units) == set(COMPUTE_UNITS)
    assert {name: unit.name for name, unit in real.units.items()} == {name: name for name in COMPUTE_UNITS}
    assert real.compile_model.__name__ == "compile_model"
    assert real.CompiledMLModel.__name__ == "CompiledMLModel"  # type: ignore[attr-defined]


def test_operations_of_pipelines_and_blocks_are_found() -> None:
    """In coremltools' own classes, which have no checks of types."""
    from coremltools.models import compute_plan as plan

    def operation(name: str, *blocks: Any) -> Any:
        return plan.MLModelStructureProgramOperation({}, name, [], list(blocks), None)

    def block(*found: Any) -> Any:
        return plan.MLModelStructureProgramBlock([], list(found), [])

    def program(body: Any) -> Any:
        function = plan.MLModelStructureProgramFunction([], body)
        return plan.MLModelStructure(None, plan.MLModelStructureProgram({"main": function}), None)

    first = program(block(operation("relu"), operation("cond", block(operation("add")), block(operation("sub")))))
    second = program(block(operation("conv")))
    parts = plan.MLModelStructurePipeline([("model0", first), ("model1", second)])  # type: ignore[arg-type]
    pipeline = plan.MLModelStructure(None, None, parts)
    assert [one.operator_name for one in operations(pipeline)] == ["relu", "cond", "add", "sub", "conv"]
    with pytest.raises(ExportError, match="another kind of model"):
        list(operations(plan.MLModelStructure(plan.MLModelStructureNeuralNetwork([]), None, None)))


def test_a_pixel_buffer_comes_back_as_the_stages_picture() -> None:
    """Core ML hands an image over as a PIL image; the stage's output is float32 (1, 3, H, W) in [0, 1]."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    for mode in ("RGB", "RGBA"):
        got = array_of(Image.fromarray(pixels).convert(mode))
        assert (got.dtype, got.shape) == (np.float32, (1, 3, 5, 7))
        np.testing.assert_array_equal(got, pixels.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255))
    array = np.ones((1, 2), np.float32)
    assert array_of(array) is array
