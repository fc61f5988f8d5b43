"""Packages of other kinds, damaged ones, and inputs that do not fit: one line each, with what, got and mend."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.coreml.archive import MANIFEST
from export.coreml.interpret import Program
from export.coreml.package import SPECIFICATION, WEIGHTS
from mobile_diffusion.errors import ExportError

X = np.ones((1, 64), np.float32)
SIZE = 512


@pytest.fixture(scope="module")
def original(ct: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package with a large weight, a small one, a mask and a bound."""
    from coremltools.converters.mil import Builder

    from tests.export.coreml.conftest import convert

    weight, bias, mask = np.full((SIZE, 64), 0.5, np.float32), np.full(SIZE, 0.25, np.float32), np.zeros((1, SIZE))

    def body(x: Any) -> Any:
        x = Builder.linear(x=x, weight=weight, bias=bias)
        x = Builder.minimum(x=Builder.maximum(x=x, y=mask.astype(np.float32) - 2), y=1000.0)
        return Builder.gelu(x=x, mode="EXACT")

    spec = Builder.TensorSpec(shape=(1, 64))
    program = Builder.program(input_specs=[spec], opset_version=ct.target.iOS17)(lambda x: body(x))
    path = tmp_path_factory.mktemp("bad") / "original.mlpackage"
    convert(ct, program, "FLOAT32", "iOS17").save(str(path))
    return path


@pytest.fixture
def package(original: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    found: Path = shutil.copytree(original, tmp_path / "model.mlpackage")
    return found


@pytest.fixture
def edit(package: Path, ct: Any) -> Callable[..., Path]:
    """`edit(change)`: the copy with its specification changed."""

    def apply(change: Callable[[Any], None]) -> Path:
        spec = ct.proto.Model_pb2.Model.FromString((package / SPECIFICATION).read_bytes())
        change(spec)
        (package / SPECIFICATION).write_bytes(spec.SerializeToString())
        return package

    return apply


def operations(spec: Any) -> Any:
    """Of the main function."""
    function = spec.mlProgram.functions["main"]
    return function.block_specializations[function.opset].operations


def constants(spec: Any) -> dict[str, Any]:
    """The constants of the main function by name."""
    return {each.outputs[0].name: each.attributes["val"] for each in operations(spec) if each.type == "const"}


def found(spec: Any, kind: str) -> Any:
    """The first operation of a kind."""
    return next(operation for operation in operations(spec) if operation.type == kind)


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
    refused(edit(lambda spec: spec.serializedModel.SetInParent()), "expected an ML Program, got an encrypted model; use")


def test_no_model_at_all(edit: Callable[..., Path]) -> None:
    refused(edit(lambda spec: spec.ClearField("mlProgram")), "got a specification without a model; export it again")


def test_an_older_model_in_a_file(package: Path, tmp_path: Path) -> None:
    path = shutil.copy(package / SPECIFICATION, tmp_path / "old.mlmodel")
    refused(Path(path), r"old\.mlmodel: expected a folder \.mlpackage, got a file, as older models are; convert")


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
    refused(package, r"weight\.bin: expected a file of weights, got No such file or directory; export again")


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


def test_values_inside_operations_and_defaults(edit: Callable[..., Path], original: Path) -> None:
    """As other converters write them: no constants for parameters, and no parameters with default values."""

    def change(spec: Any) -> None:
        values = constants(spec)
        for operation in operations(spec):
            operation.inputs.pop("mode", None)  # of gelu
            for argument in operation.inputs.values():
                for binding in argument.arguments:
                    if binding.name in values:
                        binding.value.CopyFrom(values[binding.name])
        kept = [each for each in operations(spec) if each.type != "const"]
        del operations(spec)[:]
        operations(spec).extend(kept)

    expected = Program.open(original).run(x=X)
    np.testing.assert_array_equal(list(Program.open(edit(change)).run(x=X).values()), list(expected.values()))


def test_an_attribute_value_is_refused_at_opening(edit: Callable[..., Path]) -> None:
    def change(spec: Any) -> None:
        for value in constants(spec).values():
            if list(value.immediateValue.tensor.strings.values) == ["EXACT"]:
                value.immediateValue.tensor.strings.values[0] = "FAST"

    with pytest.raises(ExportError, match=r"gelu: expected mode to be one of .*, got 'FAST'"):
        Program.open(edit(change))


def test_an_unknown_attribute_is_refused_at_opening(edit: Callable[..., Path]) -> None:
    def change(spec: Any) -> None:
        operation = found(spec, "linear")
        operation.attributes["fused"].CopyFrom(operation.attributes["name"])

    with pytest.raises(ExportError, match=r"linear 'linear_0': expected no attribute 'fused': it is not interpreted"):
        Program.open(edit(change))


@pytest.mark.parametrize("output", ["linear", "maximum"])
def test_a_result_of_another_shape_is_refused(output: str, edit: Callable[..., Path]) -> None:
    def change(spec: Any) -> None:
        found(spec, output).outputs[0].type.tensorType.dimensions[1].constant.size = 7

    refused(edit(change), rf"{output} '.*': expected shape \(1, 7\), got \(1, 512\); export it again")


def test_a_value_that_nobody_computes_is_refused(edit: Callable[..., Path]) -> None:
    def change(spec: Any) -> None:
        found(spec, "linear").inputs["x"].arguments[0].name = "z"

    refused(edit(change), r"linear 'linear_0': expected a value that is computed before, got 'z'; export it again")


def test_sizes_that_are_left_open_are_refused(edit: Callable[..., Path]) -> None:
    def change(spec: Any) -> None:
        dimension = spec.mlProgram.functions["main"].inputs[0].type.tensorType.dimensions[0]
        dimension.unknown.variadic = False

    refused(edit(change), "expected static shapes, got a dimension of any size; export for fixed shapes")
