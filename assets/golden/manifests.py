"""Manifests that every language reads, and manifests that every language refuses, each with the reason.

A wrong manifest is the sample with one change; or a text that is none.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from assets.golden.sample import FILES, file_entries, sample_manifest
from export.bundle.manifest import dump_manifest

Values = dict[str, Any]
Change = Callable[[Values], object]


class Fault(NamedTuple):
    """A change that makes a manifest wrong, and what the refusal names in every language."""

    change: Change
    message: str


def at(*keys: str | int, put: Any) -> Change:
    """Puts a value at a place in a manifest."""

    def change(values: Values) -> None:
        place: Any = values
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = put

    return change


def add_stage(values: Values, name: str = "encode_image") -> None:
    """A bundle that redraws pictures has a fourth stage."""
    values["stages"].append(values["stages"][0] | {"name": name})
    artifacts = values["runtimes"][0]["artifacts"]
    artifacts.append(artifacts[0] | {"stage": name})


def add_hints(values: Values) -> None:
    """So has one with ControlNets."""
    add_stage(values, "encode_hint")


def add_both(values: Values) -> None:
    """And both have five."""
    add_stage(values)
    add_hints(values)


def swap_stages(values: Values) -> None:
    """The stages of pictures and of hints in the wrong order."""
    add_hints(values)
    add_stage(values)


def add_delegates(values: Values) -> None:
    """A program on a backend, with operations that the backend does not take."""
    operations = [{"name": "aten::index_select.out", "count": 2}]
    values["runtimes"][0]["artifacts"][0] |= {"delegates": 1, "undelegated": operations}


def add_tokenizer(values: Values) -> None:
    """SDXL's two tokenizers, and zeros for a missing negative prompt."""
    values["tokenizer"].update(kind="clip-bpe-pair", files=["tokenizer.json", "tokenizer_2.json"])
    values["schedule"]["zero_null"] = True
    values["files"].append(values["files"][-1] | {"path": "tokenizer_2.json"})


def add_runtime(values: Values) -> None:
    """The same programs under another name, which the app uses on request."""
    values["runtimes"].append(values["runtimes"][0] | {"name": "another", "primary": False, "verified": False})


GOOD: dict[str, Change] = {
    "sample": lambda values: None,
    "a fourth stage": add_stage,
    "a stage of hints": add_hints,
    "five stages": add_both,
    "delegates": add_delegates,
    "two runtimes": add_runtime,
    "two tokenizers": add_tokenizer,
    "another name and tool": at("tools", 0, "name", put="t\u00f6rch \U0001f525"),
    "no guidance": lambda values: values["schedule"].update(guidance_kind="none", guidance_default=-1.0),
    "guidance of each step": at("schedule", "guidance_shares", put=[1.0, 0.5]),
    "drawings that begin late": at("schedule", "starts", put=[[0, 1], [1]]),
    "two text encoders": at("model", "text_widths", put=[8, 12]),
    "no styles": at("model", "styles", put=[]),
    "no source": at("model", "source_sha256", put=""),
    "whole numbers where fractions may stand": at("schedule", "alphas", put=[0, 1]),
}
ARTIFACT = ("runtimes", 0, "artifacts", 0)
BAD: dict[str, Fault] = {
    "format": Fault(at("format", put="zip"), "format"),
    "no target": Fault(lambda values: values.pop("target"), "target"),
    "unknown field": Fault(at("colour", put="red"), "colour"),
    "unknown nested field": Fault(at("model", "colour", put="red"), "colour"),
    "version as text": Fault(at("schema_version", put="1"), "schema_version"),
    "older version": Fault(at("schema_version", put=0), "schema version 7, got 0; export the bundle again"),
    "model a list": Fault(at("model", put=[]), "an object"),
    "size negative": Fault(at("files", 0, "size", put=-1), "zero or more"),
    "size a number with a point": Fault(at("files", 0, "size", put=1.5), "size"),
    "size true": Fault(at("files", 0, "size", put=True), "size"),
    "hash short": Fault(at("files", 0, "sha256", put="abc"), "a SHA-256 in lower case hex"),
    "hash in capitals": Fault(at("files", 0, "sha256", put="A" * 64), "a SHA-256 in lower case hex"),
    "stage unknown": Fault(at("stages", 0, "name", put="dream"), "dream"),
    "stage missing": Fault(lambda values: values["stages"].pop(), "the stages"),
    "dtype": Fault(at("stages", 1, "inputs", 0, "dtype", put="float64"), "float64"),
    "shape dynamic": Fault(at("stages", 1, "inputs", 0, "shape", put=[1, -1]), "shape"),
    "settings as an object": Fault(at("runtimes", 0, "settings", put={"compute_units": "ALL"}), "settings"),
    "a setting that is a number": Fault(at("runtimes", 0, "settings", 0, "value", put=1), "value"),
    "a setting without a name": Fault(at("runtimes", 0, "settings", 0, "name", put=""), "name"),
    "precision": Fault(at("runtimes", 0, "artifacts", 0, "precision", put="fp7"), "fp7"),
    "artifact missing": Fault(lambda values: values["runtimes"][0]["artifacts"].pop(), "for each stage"),
    "no runtimes": Fault(at("runtimes", put=[]), "primary"),
    "guidance kind": Fault(at("schedule", "guidance_kind", put="magic"), "magic"),
    "no steps": Fault(at("schedule", "timesteps", put=[]), "for each step"),
    "no outputs": Fault(at("runtimes", 0, "artifacts", 0, "outputs", put=[]), "an output at least"),
    "a style twice": Fault(at("model", "styles", put=["3d", "3d"]), "styles"),
    "a style without a name": Fault(at("model", "styles", put=["3d", ""]), "styles"),
    "styles as text": Fault(at("model", "styles", put="3d"), "styles"),
    "a style that is a number": Fault(at("model", "styles", put=[3]), "styles"),
    "no width of the text": Fault(at("model", "text_widths", put=[]), "text_widths"),
    "a width of zero": Fault(at("model", "text_widths", put=[8, 0]), "text_widths"),
    "a width as text": Fault(at("model", "text_widths", put=["8"]), "text_widths"),
    "made before there were widths": Fault(lambda values: values["model"].pop("text_widths"), "text_widths"),
    "made before there were styles": Fault(lambda values: values["model"].pop("styles"), "styles"),
    "no height": Fault(lambda values: values["model"].pop("height"), "height"),
    "solver": Fault(at("schedule", "solver", put="guesswork"), "guesswork"),
    "more guidance than all": Fault(at("schedule", "guidance_shares", put=[1.0, 1.5]), "from 0 to 1"),
    "a start without rows": Fault(at("schedule", "starts", put=[[]]), "starts"),
    "files null": Fault(at("files", put=None), "files"),
    "zero_null as text": Fault(at("schedule", "zero_null", put="yes"), "zero_null"),
    "no zero_null": Fault(lambda values: values["schedule"].pop("zero_null"), "zero_null"),
    "tokenizer without files": Fault(at("tokenizer", "files", put=[]), "file"),
}
"""Changes that the JSON schema refuses too."""
BAD_FOR_READER: dict[str, Fault] = {
    "two primary runtimes": Fault(
        lambda values: values["runtimes"].append(values["runtimes"][0] | {"name": "another", "primary": True}),
        "primary",
    ),
    "the same runtime twice": Fault(
        lambda values: values["runtimes"].append(values["runtimes"][0] | {"primary": False}), "different runtimes"
    ),
    "a setting twice": Fault(
        lambda values: values["runtimes"][0]["settings"].append({"name": "compute_units", "value": ""}),
        "every setting once",
    ),
    "two compressions": Fault(at("runtimes", 0, "artifacts", 1, "compression", put="int8"), "one compression"),
    "none primary": Fault(at("runtimes", 0, "primary", put=False), "primary"),
    "same file twice": Fault(lambda values: values["files"].append(values["files"][0]), "every file once"),
    "artifact that is not listed": Fault(at("runtimes", 0, "artifacts", 1, "path", put="other.mlpackage"), "listed"),
    "tokenizer that is not listed": Fault(at("tokenizer", "files", put=["vocab.txt"]), "listed"),
    "one tokenizer of two": Fault(at("tokenizer", "kind", put="clip-bpe-pair"), "two tokenizer files"),
    "golden that is not listed": Fault(at("golden", put="golden/other.json"), "listed"),
    "no guidance at a scale above one": Fault(
        at("schedule", "guidance_kind", put="none"), "1 or less without guidance"
    ),
    "lengths of the table": Fault(at("schedule", "alphas", put=[1.0]), "for each step"),
    "a share of the guidance too few": Fault(at("schedule", "guidance_shares", put=[1.0]), "for each step"),
    "a start with a row that is not there": Fault(at("schedule", "starts", put=[[0, 2]]), "rows of the table"),
    "update not square": Fault(
        at("schedule", "update", put=[[[0.5, 1.0]], [[0.5, 1.0, 2.0]]]), "matrices of K rows and K + 1 columns"
    ),
    "stages in another order": Fault(swap_stages, "stage"),
    "a stage without a program": Fault(
        lambda values: values["stages"].append(values["stages"][0] | {"name": "encode_image"}), "stage"
    ),
    "manifest lists itself": Fault(at("files", 0, "path", put="manifest.json"), "manifest"),
    "shape of text": Fault(at("stages", 0, "inputs", 0, "shape", put="12"), "shape"),
    "a step too few": Fault(lambda values: values["schedule"]["sigmas"].pop(), "for each step"),
    "update of text": Fault(at("schedule", "update", put="x"), "update"),
    "null": Fault(at("tokenizer", put=None), "an object"),
    "verified as text": Fault(at("runtimes", 0, "verified", put="yes"), "verified"),
    "two precisions": Fault(at("runtimes", 0, "artifacts", 1, "precision", put="int8"), "one precision"),
    "fewer delegates than none": Fault(at(*ARTIFACT, "delegates", put=-1), "a number of delegates"),
    "no such operation": Fault(at(*ARTIFACT, "undelegated", put=[{"name": "a", "count": 0}]), "a count above zero"),
    "an operation of text": Fault(at(*ARTIFACT, "undelegated", put=["aten_add"]), "expected an object"),
    "tool without version": Fault(lambda values: values["tools"][0].pop("version"), "version"),
}
"""Changes that a schema cannot express, and some that it can but a reader may overlook."""
LEAVING = (
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
)
"""Paths that are not inside the bundle, or could be elsewhere on another system."""
NO_MANIFEST = {
    "empty": ("", "expected JSON"),
    "cut": ("{", "expected JSON"),
    "a word cut": ("nul", "expected JSON"),
    "not a number": ('{"schema_version": NaN}', "expected"),
    "nested without end": ("[" * 10_000, "expected JSON"),
    "a mark before it": ("\ufeff{}", "expected JSON"),
    "no text": ("\ufffd", "expected JSON"),
    "a list": ("[]", "expected a JSON object"),
    "null": ("null", "expected a JSON object"),
    "a text": ('"x"', "expected a JSON object"),
    "a number": ("1", "expected a JSON object"),
    "a version and nothing more": ('{"schema_version": 7}', "manifest.json"),
    "something behind it": ("{} {}", "expected JSON"),
    "a comma too many": ('{"schema_version": 7,}', "expected JSON"),
    "a comment": ('{"schema_version": 7} // ours', "expected JSON"),
    "a number that begins with zero": ('{"schema_version": 07}', "expected JSON"),
    "another version": ('{"schema_version": 8, "planets": 8}', "schema version 7, got 8; update"),
    "a version long ago": ('{"schema_version": 6}', "schema version 7, got 6; export the bundle again"),
}


def sample_values() -> Values:
    """The manifest of the sample as JSON has it."""
    return json.loads(dump_manifest(sample_manifest(file_entries(FILES))))


def changed(change: Change) -> Values:
    """The sample with one change."""
    values = copy.deepcopy(sample_values())
    change(values)
    return values


def manifest_file() -> dict[str, Any]:
    """The content of manifests.json."""
    refused = [
        _refused(name, _text(changed(fault.change)), fault.message) for name, fault in (BAD | BAD_FOR_READER).items()
    ]
    for path in LEAVING:
        values = changed(at("files", 0, "path", put=path))
        refused.append(_refused(f"path {path!a}", _text(values), "a relative path that stays in the bundle"))
    refused += [_refused(name, text, message) for name, (text, message) in NO_MANIFEST.items()]
    return {
        "accepted": [{"name": name, "text": _text(changed(change))} for name, change in GOOD.items()],
        "refused": refused,
    }


def _text(values: Values) -> str:
    return json.dumps(values, separators=(",", ":"))


def _refused(name: str, text: str, message: str) -> dict[str, str]:
    return {"name": name, "text": text, "message": message}
