"""The TypeScript library beyond the golden files: its own tests, and the package that npm would publish."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from tests.apps.languages import WEB, WEB_APP, make, run_node_tests


@pytest.fixture(autouse=True)
def _built() -> None:
    WEB.require()


def test_its_own_tests_pass() -> None:
    run_node_tests("mask-grid", "series", "prompts", "pipeline", "golden-check")


def test_the_package_holds_javascript_and_types_and_nothing_else(tmp_path: Path) -> None:
    make(WEB_APP, "package", f"PACKAGE={tmp_path}")
    (archive,) = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as opened:
        names = {name.removeprefix("package/") for name in opened.getnames()}
    described = json.loads((WEB_APP / "package.json").read_text(encoding="utf-8"))
    assert set(described["exports"]["."].values()) == {"./build/js/src/index.d.ts", "./build/js/src/index.js"} and all(
        path.removeprefix("./") in names for path in described["exports"]["."].values()
    )
    sources = {path.stem for path in (WEB_APP / "src").glob("*.ts")}
    built = {f"build/js/src/{stem}{end}" for stem in sources for end in (".js", ".d.ts")}
    assert names == built | {"package.json", "README.md"}
