"""The Kotlin core: its own tests pass, all of them, on this machine's Java; its tables are the exporter's."""

from __future__ import annotations

import re
import runpy

from tests.apps.android.conftest import SOURCE, make, require_tools

CORE = SOURCE / "core" / "src"


def test_the_junit_tests() -> None:
    require_tools()
    written = sum(path.read_text(encoding="utf-8").count("@Test") for path in CORE.glob("test/**/*.kt"))
    output = make("core-test")
    found = re.search(r"^OK \((\d+) tests\)$", output, re.MULTILINE)
    assert found is not None, output[-3000:]
    assert int(found[1]) == written >= 65


def test_kotlin_is_in_the_standard_style() -> None:
    assert make("lint") == ""


def test_the_tables_are_those_of_the_installed_library() -> None:
    made = runpy.run_path(str(SOURCE.parent / "runner" / "make_unicode_tables.py"))["kotlin_source"]()
    assert made == (CORE / "main/kotlin/org/mobilediffusion/core/UnicodeTables.kt").read_text(encoding="ascii")


def test_the_core_knows_neither_android_nor_the_runtime() -> None:
    allowed = ("java.", "kotlin.", "kotlinx.coroutines.")
    sources = list(CORE.glob("main/**/*.kt"))
    assert len(sources) > 30
    for path in sources:
        imports = re.findall(r"^import (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert all(name.startswith(allowed) for name in imports), (path, imports)
