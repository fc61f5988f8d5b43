"""Packages of other kinds, damaged ones, and unfit inputs: one line each with expected, got and how to fix it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.coreml.interpret import Program
from export.coreml.package import SPECIFICATION, WEIGHTS
from export.coreml.package_archive import MANIFEST
from mobile_diffusion.errors import ExportError
from tests.export.coreml.interpret.specification import SIZE, X, constants


def refused(path: Path, message: str, **options: Any) -> None:
    """It cannot be opened and run, and one line says why."""
    with pytest.raises(ExportError, match=message) as caught:
        Program.open(path, **options).run(x=X)
    assert "\n" not in str(caught.value)


def test_the_original_runs(original: Path) -> None:
    (got,) = Program.open(original).run(x=X).values()
    assert got.shape == (1, SIZE) and np.ptp(got) == 0 and np.isfinite(got).all()


@pytest.mark.parametrize("kind", ["neuralNetwork", "treeEnsembleRegressor", "glmClassifier"])
def test_models_of_other_kinds(kind: str, edit: Callable[..., Path]) -> None:
    message = rf"model\.mlpackage: expected an ML Program, got the kind '{kind}'; convert the source again"
    refused(edit(lambda spec: getattr(spec, kind).SetInParent()), message)


def test_a_pipeline_of_something_else(edit: Callable[..., Path]) -> None:
    refused(edit(lambda spec: spec.pipeline.models.add().scaler.SetInParent()), "expected an ML Program, .*'scaler'")


def test_an_encrypted_model(edit: Callable[..., Path]) -> None:
    path = edit(lambda spec: spec.serializedModel.SetInParent())
    refused(path, "expected an ML Program, got an encrypted model; use the unencrypted model")


def test_no_model_at_all(edit: Callable[..., Path]) -> None:
    refused(edit(lambda spec: spec.ClearField("mlProgram")), "got a specification without a model; export it again")


def test_an_older_model_in_a_file(package: Path, tmp_path: Path) -> None:
    path = shutil.copy(package / SPECIFICATION, tmp_path / "old.mlmodel")
    refused(Path(path), r"old\.mlmodel: expected a \.mlpackage folder, got a file \(the older format\); convert")


def test_nothing(tmp_path: Path) -> None:
    refused(tmp_path / "absent.mlpackage", r"absent\.mlpackage: expected a Core ML package, got no folder .*; check")


@pytest.mark.parametrize("name", ["coremldata.bin", "model.mil"])
def test_a_compiled_model(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.mlmodelc"
    path.mkdir()
    (path / name).write_bytes(b"x")
    refused(path, r"expected a \.mlpackage, got a compiled model; use the package it was compiled from")
    refused(path.rename(tmp_path / "renamed.mlpackage"), "got a compiled model")


def test_a_compiled_model_that_is_encrypted(tmp_path: Path) -> None:
    (tmp_path / "model.mlmodelc" / "encryptionInfo").mkdir(parents=True)
    refused(tmp_path / "model.mlmodelc", "expected a model that can be read, got an encrypted one; use")


def test_no_manifest(package: Path) -> None:
    (package / MANIFEST).unlink()
    refused(package, r"expected a package's Manifest\.json, got No such file or directory; export it again")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"rootModelIdentifier": "a", "itemInfoEntries": {}}'])
def test_another_manifest(text: str, package: Path) -> None:
    (package / MANIFEST).write_text(text)
    refused(package, r"expected a Manifest\.json that names the model, got another; export it again")


def test_a_manifest_that_leads_outside(package: Path) -> None:
    manifest = json.loads((package / MANIFEST).read_text())
    manifest["itemInfoEntries"][manifest["rootModelIdentifier"]]["path"] = "../../other/model.mlmodel"
    (package / MANIFEST).write_text(json.dumps(manifest))
    refused(package, r"expected a model inside the package, got '\.\./\.\./other/model\.mlmodel'; export it again")


def test_no_specification(package: Path) -> None:
    (package / SPECIFICATION).unlink()
    refused(package, r"expected the model Data/.*model\.mlmodel, got No such file or directory; export it again")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_truncated_specification(part: float, package: Path) -> None:
    data = (package / SPECIFICATION).read_bytes()
    (package / SPECIFICATION).write_bytes(data[: int(len(data) * part)])
    refused(package, r"expected a Core ML specification, got .*; export it again")


def test_random_bytes(package: Path) -> None:
    """Some happen to be a message; none is a program."""
    for seed in range(20):
        (package / SPECIFICATION).write_bytes(np.random.default_rng(seed).bytes(300))
        refused(package, r"export it again|convert the source again")


def test_changed_bytes_never_surprise(package: Path) -> None:
    """Whatever single bytes become: it runs, or one of our errors says why not."""
    data, generator = (package / SPECIFICATION).read_bytes(), np.random.default_rng(7)
    outcomes = set()
    for _ in range(150):
        changed = bytearray(data)
        changed[generator.integers(len(data))] = generator.integers(256)
        (package / SPECIFICATION).write_bytes(changed)
        try:
            Program.open(package).run(x=X)
            outcomes.add("ran")
        except ExportError as error:
            assert "\n" not in str(error)
            outcomes.add("refused")
    assert outcomes == {"ran", "refused"}


def test_no_weights(package: Path) -> None:
    (package / WEIGHTS / "weight.bin").unlink()
    refused(package, r"weight\.bin: expected a weights file, got No such file or directory; export again")


@pytest.mark.parametrize("size", [0, 100, -1])
def test_truncated_weights(size: int, package: Path) -> None:
    file = package / WEIGHTS / "weight.bin"
    os.truncate(file, size if size >= 0 else file.stat().st_size + size)
    refused(package, r"weight\.bin: expected .*; export")


def test_weights_outside_of_the_package(edit: Callable[..., Path]) -> None:
    def change(spec: Any) -> None:
        for value in constants(spec).values():
            if value.WhichOneof("value") == "blobFileValue":
                value.blobFileValue.fileName = "@model_path/../../weight.bin"

    refused(edit(change), "expected files inside the package, got '@model_path/../../weight.bin'; export it again")


def poison(package: Path, value: float, count: int = 1) -> None:
    """Put a number into the first of the weights that has at least so many."""
    file = package / WEIGHTS / "weight.bin"
    data = bytearray(file.read_bytes())
    wanted = np.float32(0.5 if count > SIZE else 0.25).tobytes() * min(count, SIZE)
    place = data.index(wanted)
    data[place + 40 : place + 44] = np.float32(value).tobytes()
    file.write_bytes(data)


@pytest.mark.parametrize("count", [SIZE, SIZE * 64])
def test_weights_that_are_no_numbers(count: int, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("export.coreml.interpret.reader.LARGE", 1000)
    poison(package, np.nan, count)
    refused(package, r"constant '.*': expected numbers, got NaN; export it again")
    refused(package, r"constant '.*': expected numbers, got NaN; export it again", infinite_constants=True)


def test_infinite_weights_are_told_by_name(package: Path) -> None:
    poison(package, -np.inf, SIZE)
    refused(package, r"constant '.+': expected finite numbers, got 1 infinite numbers, -inf first; use a finite mask")
    (got,) = Program.open(package, infinite_constants=True).run(x=X).values()
    assert (got == got.min()).sum() == 1  # the mask holds up what the infinite bias takes down


def test_a_single_infinite_number_may_be_a_bound(edit: Callable[..., Path]) -> None:
    def change(spec: Any) -> None:
        found_floats = [value.immediateValue.tensor.floats.values for value in constants(spec).values()]
        (bound,) = [floats for floats in found_floats if list(floats) == [1000.0]]
        bound[0] = np.inf

    (got,) = Program.open(edit(change)).run(x=1000 * X).values()
    np.testing.assert_array_equal(got, np.full((1, SIZE), 32000.25))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "expected the inputs x, got none"),
        ({"y": X}, "expected the inputs x, got y"),
        ({"x": X, "y": X}, "expected the inputs x, got x, y"),
        ({"x": X.astype(np.float64)}, r"expected x as float32 \(1, 64\), got float64 \(1, 64\)"),
        ({"x": X[0]}, r"expected x as float32 \(1, 64\), got float32 \(64,\)"),
        ({"x": X.tolist()}, r"expected x as float32 \(1, 64\), got list \(\)"),
    ],
)
def test_inputs_that_do_not_fit(arrays: dict[str, Any], message: str, original: Path) -> None:
    with pytest.raises(ExportError, match=message):
        Program.open(original).run(**arrays)
