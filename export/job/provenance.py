"""`provenance.json`: which weights, versions and options became which programs, ready to be signed.

It is an in-toto statement (v1) with a SLSA provenance predicate (v1): the subjects are the programs and the tokenizer,
the dependencies are the checkpoint and the packages, as package URLs.  It holds no date, so that two exports of one
checkpoint have the same file; whoever signs it adds when and by whom.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from export.bundle.manifest import Manifest
from export.job.command import options
from export.job.plan import ExportPlan

PROVENANCE_FILE = "provenance.json"
STATEMENT, PREDICATE = "https://in-toto.io/Statement/v1", "https://slsa.dev/provenance/v1"
BUILD_TYPE, BUILDER = "urn:mobile-diffusion:export:1", "urn:mobile-diffusion"
_PYTHON = "python"


def provenance(manifest: Manifest, plan: ExportPlan) -> dict[str, Any]:
    """The statement; only the files of programs and tokenizer must be in the manifest."""
    return {
        "_type": STATEMENT,
        "subject": [{"name": path, "digest": {"sha256": digest}} for path, digest in _subjects(manifest)],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"target": manifest.target, "options": options(manifest, plan.depth)},
                "internalParameters": {"changes": list(manifest.model.changes)},
                "resolvedDependencies": [_checkpoint(manifest), *_packages(manifest)],
            },
            "runDetails": {"builder": {"id": BUILDER}},
        },
    }


def _subjects(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Path and hash of every file of a program, and of the tokenizer."""
    programs = [artifact.path for runtime in manifest.runtimes for artifact in runtime.artifacts]
    for file in manifest.files:
        inside = any(file.path == path or file.path.startswith(f"{path}/") for path in programs)
        if inside or file.path in manifest.tokenizer.files:
            yield file.path, file.sha256


def _checkpoint(manifest: Manifest) -> dict[str, Any]:
    model = manifest.model
    digest = {"digest": {"sha256": model.source_sha256}} if model.source_sha256 else {}
    return {"name": model.name, **digest, "annotations": {"license": model.licence}}


def _packages(manifest: Manifest) -> Iterator[dict[str, Any]]:
    for tool in manifest.tools:
        kind = "generic" if tool.name == _PYTHON else "pypi"
        yield {"name": tool.name, "uri": f"pkg:{kind}/{tool.name}@{tool.version.replace('+', '%2B')}"}
