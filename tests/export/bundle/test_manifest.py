"""The manifest: the JSON schema and the dataclasses accept and refuse the same things."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from assets.golden.manifests import BAD, BAD_FOR_READER, LEAVING, add_stage, at
from export.bundle.manifest import FORMAT, SCHEMA_VERSION, dump_manifest, read_manifest, schema
from export.bundle.manifest_parts import check_path
from mobile_diffusion.errors import BundleError
from tests.export.samples import sample_manifest, write_sample

Values = dict[str, Any]


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Values:
    folder = tmp_path_factory.mktemp("manifest") / "bundle"
    write_sample(folder)
    return json.loads((folder / "manifest.json").read_text())


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
    add_stage(changed)
    assert accepted_by_schema(changed)
    assert len(read(changed, tmp_path).stages) == 4  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", BAD)
def test_schema_and_reader_refuse(name: str, values: Values, tmp_path: Path) -> None:
    changed = copy.deepcopy(values)
    BAD[name].change(changed)
    assert not accepted_by_schema(changed)
    with pytest.raises(BundleError) as caught:
        read(changed, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", BAD_FOR_READER)
def test_reader_refuses_what_a_schema_cannot_say(name: str, values: Values, tmp_path: Path) -> None:
    changed = copy.deepcopy(values)
    BAD_FOR_READER[name].change(changed)
    with pytest.raises(BundleError):
        read(changed, tmp_path)


def test_newer_schema_says_so_whatever_else_it_holds(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="schema version 7, got 8; update"):
        read({"schema_version": 8, "planets": 8}, tmp_path)


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
