"""Two exports of one checkpoint by one version, in two processes, have the same bytes but for what was measured."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import jsonschema
import pytest

from export.coreml.package_archive import CoreMLPackage
from export.evidence.description import check_provenance
from export.job.command import reproduce
from export.job.run import Exported
from tests.export.evidence.planting import edit_json

ROOT = Path(__file__).parents[3]
MEASURED = {"latency.json", "report.html"}
"""What holds times."""
ORDER_OF_SUMS = ("golden/", "parity.json", "preview.json", "layers.json", "README.md")
"""What PyTorch computes, and what is compared with it: another number of threads sums in another order."""


def files(folder: Path) -> dict[str, str]:
    """Path -> hash, of every file; of the manifest, without the entries of what was measured."""
    found = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name, content = path.relative_to(folder).as_posix(), path.read_bytes()
        if name == "manifest.json":
            values = json.loads(content)
            values["files"] = [entry for entry in values["files"] if entry["path"] not in MEASURED]
            content = json.dumps(values).encode()
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def different(one: Path, other: Path) -> set[str]:
    pair = files(one), files(other)
    return {name for name in pair[0] | pair[1] if pair[0].get(name) != pair[1].get(name)}


def again(exported: Exported, checkpoint: Path, out: Path, threads: int) -> Path:
    """Run the command that the bundle itself names in a new process with another order of hashes."""
    command = reproduce(exported.bundle.manifest, exported.plan.depth).replace("\\\n", " ").replace("CHECKPOINT", "{}")
    words = [word.format(checkpoint) for word in shlex.split(command)]
    environment = {**os.environ, "PYTHONHASHSEED": "77", "OMP_NUM_THREADS": str(threads)}
    run = (sys.executable, "-m", "export.cli.main", *words[1:], "--out", str(out), "--threads", str(threads))
    done = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.full
@pytest.mark.parametrize("target", ["android", "ios"])
def test_the_bundle_s_own_command_makes_the_same_bytes(
    exported: Mapping[str, Exported], tiny_checkpoint: Path, tmp_path: Path, target: str
) -> None:
    first = exported[target].bundle.path
    second = again(exported[target], tiny_checkpoint, tmp_path / "again", 1)
    assert different(first, second) <= MEASURED


@pytest.mark.full
@pytest.mark.parametrize("target", ["android", "ios"])
def test_another_number_of_threads_changes_no_program(
    exported: Mapping[str, Exported], tiny_checkpoint: Path, tmp_path: Path, target: str
) -> None:
    first = exported[target].bundle.path
    second = again(exported[target], tiny_checkpoint, tmp_path / "again", 2)
    left = {name for name in different(first, second) if not name.startswith(ORDER_OF_SUMS)}
    assert left <= MEASURED | {"manifest.json"}  # it holds hashes and parity of the others


def test_a_core_ml_package_has_no_random_name_and_sorted_maps(exported: Mapping[str, Exported]) -> None:
    folder = exported["ios"].bundle.path
    manifests = [(folder / f"{stage}.mlpackage/Manifest.json").read_bytes() for stage in ("denoise", "decode_image")]
    assert manifests[0] == manifests[1]
    package = CoreMLPackage.open(folder / "denoise.mlpackage")
    kept = (folder / "denoise.mlpackage/Data/com.apple.CoreML/model.mlmodel").read_bytes()
    assert kept == package.spec.SerializeToString(deterministic=True)


STATEMENT = {
    "type": "object",
    "required": ["_type", "subject", "predicateType", "predicate"],
    "properties": {
        "_type": {"const": "https://in-toto.io/Statement/v1"},
        "predicateType": {"const": "https://slsa.dev/provenance/v1"},
        "subject": {
            "minItems": 1,
            "items": {
                "required": ["name", "digest"],
                "properties": {"digest": {"properties": {"sha256": {"pattern": "^[0-9a-f]{64}$"}}}},
            },
        },
        "predicate": {
            "required": ["buildDefinition", "runDetails"],
            "properties": {
                "buildDefinition": {"required": ["buildType", "externalParameters"]},
                "runDetails": {"required": ["builder"], "properties": {"builder": {"required": ["id"]}}},
            },
        },
    },
}
"""The required fields of the two specifications."""


def test_provenance_leads_from_the_weights_to_every_program(exported: Mapping[str, Exported]) -> None:
    bundle = exported["ios"].bundle
    found = json.loads((bundle.path / "provenance.json").read_text())
    jsonschema.validate(found, STATEMENT)
    for subject in found["subject"]:
        assert hashlib.sha256((bundle.path / subject["name"]).read_bytes()).hexdigest() == subject["digest"]["sha256"]
    named = {subject["name"] for subject in found["subject"]}
    assert "tokenizer.json" in named
    assert {name.partition("/")[0] for name in named if "/" in name} == {
        f"{stage}.mlpackage" for stage in ("encode_text", "denoise", "decode_image")
    }
    checkpoint, *packages = found["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert checkpoint["digest"]["sha256"] == bundle.manifest.model.source_sha256
    assert "pkg:pypi/coremltools@9.0" in [package["uri"] for package in packages]


def test_a_changed_provenance_is_found(exported: Mapping[str, Exported], copy_of: Callable[[str], Path]) -> None:
    path = copy_of("ios")
    bundle = type(exported["ios"].bundle)(path, exported["ios"].bundle.manifest)
    assert check_provenance(bundle, "trajectory") == []
    edit_json(path / "provenance.json", lambda values: values["subject"][0].update(name="other"))
    (found,) = check_provenance(bundle, "trajectory")
    assert found.place == "provenance.json: subject[0].name"
