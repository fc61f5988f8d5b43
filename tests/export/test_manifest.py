"""The manifest: the JSON schema and the dataclasses accept and refuse the same things."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from export.entries import check_path
from export.manifest import FORMAT, SCHEMA_VERSION, dump_manifest, read_manifest, schema
from mobile_diffusion.errors import BundleError
from tests.export.samples import sample_manifest, write_sample

Values = dict[str, Any]
Change = Callable[[Values], object]


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Values:
    folder = tmp_path_factory.mktemp("manifest") / "bundle"
    write_sample(folder)
    return json.loads((folder / "manifest.json").read_text())  # type: ignore[no-any-return]


def accepted_by_schema(values: Values) -> bool:
    return bool(jsonschema.Draft202012Validator(schema()).is_valid(values))


def read(values: Any, folder: Path) -> object:
    (folder / "manifest.json").write_text(json.dumps(values))
    return read_manifest(folder)


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    assert schema()["properties"]["schema_version"]["const"] == SCHEMA_VERSION
    assert schema()["properties"]["format"]["const"] == FORMAT


def test_written_manifest_fits_the_schema_and_is_read_back(values: Values, tmp_path: Path) -> None:
    assert accepted_by_schema(values)
    manifest = read(values, tmp_path)
    assert json.loads(dump_manifest(manifest)) == values  # type: ignore[arg-type]
    assert manifest == sample_manifest(manifest.files)  # type: ignore[attr-defined]


def test_a_bundle_that_redraws_pictures_has_a_fourth_stage(values: Values, tmp_path: Path) -> None:
    changed = copy.deepcopy(values)
    changed["stages"].append(changed["stages"][0] | {"name": "encode_image"})
    changed["runtimes"][0]["artifacts"].append(changed["runtimes"][0]["artifacts"][0] | {"stage": "encode_image"})
    assert accepted_by_schema(changed)
    assert len(read(changed, tmp_path).stages) == 4  # type: ignore[attr-defined]


def at(*keys: str | int, put: Any) -> Change:
    def change(values: Values) -> None:
        place: Any = values
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = put

    return change


BAD: dict[str, Change] = {
    "format": at("format", put="zip"),
    "no target": lambda values: values.pop("target"),
    "unknown field": at("colour", put="red"),
    "unknown nested field": at("model", "colour", put="red"),
    "version as text": at("schema_version", put="1"),
    "older version": at("schema_version", put=0),
    "model a list": at("model", put=[]),
    "size negative": at("files", 0, "size", put=-1),
    "size a number with a point": at("files", 0, "size", put=1.5),
    "size true": at("files", 0, "size", put=True),
    "hash short": at("files", 0, "sha256", put="abc"),
    "hash in capitals": at("files", 0, "sha256", put="A" * 64),
    "stage unknown": at("stages", 0, "name", put="dream"),
    "stage missing": lambda values: values["stages"].pop(),
    "dtype": at("stages", 1, "inputs", 0, "dtype", put="float64"),
    "shape dynamic": at("stages", 1, "inputs", 0, "shape", put=[1, -1]),
    "settings as an object": at("runtimes", 0, "settings", put={"compute_units": "ALL"}),
    "a setting that is a number": at("runtimes", 0, "settings", 0, "value", put=1),
    "a setting without a name": at("runtimes", 0, "settings", 0, "name", put=""),
    "precision": at("runtimes", 0, "artifacts", 0, "precision", put="fp7"),
    "artifact missing": lambda values: values["runtimes"][0]["artifacts"].pop(),
    "no runtimes": at("runtimes", put=[]),
    "guidance kind": at("schedule", "guidance_kind", put="magic"),
    "no steps": at("schedule", "timesteps", put=[]),
    "no outputs": at("runtimes", 0, "artifacts", 0, "outputs", put=[]),
    "no height": lambda values: values["model"].pop("height"),
    "solver": at("schedule", "solver", put="guesswork"),
    "files null": at("files", put=None),
    "tokenizer without files": at("tokenizer", "files", put=[]),
}


@pytest.mark.parametrize("name", BAD)
def test_schema_and_reader_refuse(name: str, values: Values, tmp_path: Path) -> None:
    changed = copy.deepcopy(values)
    BAD[name](changed)
    assert not accepted_by_schema(changed)
    with pytest.raises(BundleError) as caught:
        read(changed, tmp_path)
    assert "\n" not in str(caught.value)


BAD_FOR_READER: dict[str, Change] = {
    "two primary runtimes": lambda values: values["runtimes"].append(
        values["runtimes"][0] | {"name": "another", "primary": True}
    ),
    "a setting twice": lambda values: values["runtimes"][0]["settings"].append({"name": "compute_units", "value": ""}),
    "two compressions": at("runtimes", 0, "artifacts", 1, "compression", put="int8"),
    "none primary": at("runtimes", 0, "primary", put=False),
    "same file twice": lambda values: values["files"].append(values["files"][0]),
    "artifact that is not listed": at("runtimes", 0, "artifacts", 1, "path", put="other.mlpackage"),
    "tokenizer that is not listed": at("tokenizer", "files", put=["vocab.txt"]),
    "golden that is not listed": at("golden", put="golden/other.json"),
    "lengths of the table": at("schedule", "alphas", put=[1.0]),
    "update not square": at("schedule", "update", put=[[[0.5, 1.0]], [[0.5, 1.0, 2.0]]]),
    "a stage without a program": lambda values: values["stages"].append(values["stages"][0] | {"name": "encode_image"}),
    "manifest lists itself": at("files", 0, "path", put="manifest.json"),
}


@pytest.mark.parametrize("name", BAD_FOR_READER)
def test_reader_refuses_what_a_schema_cannot_say(name: str, values: Values, tmp_path: Path) -> None:
    changed = copy.deepcopy(values)
    BAD_FOR_READER[name](changed)
    with pytest.raises(BundleError):
        read(changed, tmp_path)


def test_newer_schema_says_so_whatever_else_it_holds(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="schema version 4, got 5; update"):
        read({"schema_version": 5, "planets": 8}, tmp_path)


LEAVING = [
    "/etc/passwd",
    "../other",
    "a/../../b",
    "a/..",
    "..",
    ".",
    "",
    "./a",
    "a/./b",
    "a//b",
    "a/",
    "a\\..\\b",
    "C:/x",
    "a\0b",
]


@pytest.mark.parametrize("path", LEAVING)
def test_paths_that_leave_the_bundle(path: str, values: Values, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="relative path"):
        check_path(path)
    for place in (("files", 0, "path"), ("runtimes", 0, "artifacts", 0, "path"), ("golden",)):
        changed = copy.deepcopy(values)
        at(*place, put=path)(changed)
        assert not accepted_by_schema(changed)
        with pytest.raises(BundleError):
            read(changed, tmp_path)


@pytest.mark.parametrize("path", ["a", "a/b.c", "..a/b", ".hidden", "a...", "encode_text.mlpackage/Data/x.bin"])
def test_paths_that_stay(path: str) -> None:
    assert check_path(path) == path
    pattern = schema()["$defs"]["path"]
    assert jsonschema.Draft202012Validator(pattern).is_valid(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "[" * 100_000, "\ufeff{}", '{"schema_version": NaN}'])
def test_not_a_manifest(text: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BundleError) as caught:
        read_manifest(tmp_path)
    assert "\n" not in str(caught.value)


def test_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"without manifest\.json"):
        read_manifest(tmp_path)
    with pytest.raises(BundleError, match="nothing of that name"):
        read_manifest(tmp_path / "absent")
    (tmp_path / "file").write_bytes(b"\xff\xfe")
    with pytest.raises(BundleError, match="got a file"):
        read_manifest(tmp_path / "file")
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe")
    with pytest.raises(BundleError, match="expected JSON"):
        read_manifest(tmp_path)
