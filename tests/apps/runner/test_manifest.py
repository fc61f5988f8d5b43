"""The runner refuses the manifests that Python refuses, each in one line, and reads those that it reads."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from export.manifest import read_manifest
from mobile_diffusion.errors import BundleError
from tests.apps.runner.conftest import Ask
from tests.export.samples import write_sample
from tests.export.test_manifest import BAD, BAD_FOR_READER, LEAVING, Change, at

Values = dict[str, Any]

MORE: dict[str, Change] = {
    "shape of text": at("stages", 0, "inputs", 0, "shape", put="12"),
    "a step too few": lambda values: values["schedule"]["sigmas"].pop(),
    "update of text": at("schedule", "update", put="x"),
    "null": at("tokenizer", put=None),
    "verified as text": at("runtimes", 0, "verified", put="yes"),
    "two precisions": at("runtimes", 0, "artifacts", 1, "precision", put="int8"),
    "fewer delegates than none": at("runtimes", 0, "artifacts", 0, "delegates", put=-1),
    "no such operation": at("runtimes", 0, "artifacts", 0, "undelegated", put=[{"name": "a", "count": 0}]),
    "an operation of text": at("runtimes", 0, "artifacts", 0, "undelegated", put=["aten_add"]),
    "tool without version": lambda values: values["tools"][0].pop("version"),
}


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory) -> Values:
    folder = tmp_path_factory.mktemp("manifest") / "bundle"
    write_sample(folder)
    return json.loads((folder / "manifest.json").read_text())  # type: ignore[no-any-return]


def test_what_python_refuses(values: Values, ask: Ask, tmp_path: Path) -> None:
    changes = BAD | BAD_FOR_READER | MORE
    questions = []
    for change in changes.values():
        changed = copy.deepcopy(values)
        change(changed)
        text = json.dumps(changed)
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(BundleError):
            read_manifest(tmp_path)
        questions.append({"manifest": text})
    answers = dict(zip(changes, ask(questions), strict=True))
    assert {name for name, answer in answers.items() if "error" not in answer} == set()
    assert all("expected" in answer["error"] and "\n" not in answer["error"] for answer in answers.values())


def test_a_size_beyond_64_bits(values: Values, ask: Ask) -> None:
    changed = copy.deepcopy(values)
    questions = []
    for size in (2**63, 2**70):
        changed["files"][0]["size"] = size
        questions.append({"manifest": json.dumps(changed)})
    assert all("size: expected a whole number" in answer["error"] for answer in ask(questions))


def test_paths_that_leave_the_bundle(values: Values, ask: Ask) -> None:
    questions = []
    for path in LEAVING:
        changed = copy.deepcopy(values)
        changed["files"][0]["path"] = path
        questions.append({"manifest": json.dumps(changed)})
    assert all("stays in the bundle" in answer["error"] for answer in ask(questions))


def test_what_python_reads(values: Values, ask: Ask) -> None:
    artifact = values["runtimes"][0]["artifacts"][0]
    artifact |= {"delegates": 1, "undelegated": [{"name": "aten::index_select.out", "count": 2}]}
    fourth = copy.deepcopy(values)
    fourth["stages"].append(fourth["stages"][0] | {"name": "encode_image"})
    fourth["runtimes"][0]["artifacts"].append(fourth["runtimes"][0]["artifacts"][0] | {"stage": "encode_image"})
    assert ask([{"manifest": json.dumps(each)} for each in (values, fourth)]) == [{}, {}]


def test_what_is_no_manifest(ask: Ask) -> None:
    texts = ["", "[]", "1", "{", "nul", '{"a": NaN}', "[" * 100_000, '{"schema_version": 4}', "\ufffd", "\ufeff{}"]
    for answer in ask([{"manifest": text} for text in texts]):
        assert "expected" in answer["error"] and "\n" not in answer["error"]


def test_another_version_says_so_whatever_else_it_holds(ask: Ask) -> None:
    newer, older = ask([{"manifest": '{"schema_version": 5, "planets": 8}'}, {"manifest": '{"schema_version": 3}'}])
    assert "schema version 4, got 5; update" in newer["error"]
    assert "schema version 4, got 3; export the bundle again" in older["error"]
