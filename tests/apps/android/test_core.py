"""The Kotlin core: its own tests pass, all of them, on this machine's Java; its style; what it may import."""

from __future__ import annotations

import re
from pathlib import Path

from tests.apps.languages import ANDROID, KOTLIN_CORE, LANGUAGES, make

KOTLIN = LANGUAGES[1]


def test_the_junit_tests() -> None:
    KOTLIN.require()
    written = sum(path.read_text(encoding="utf-8").count("@Test") for path in KOTLIN_CORE.glob("test/**/*.kt"))
    output = make(ANDROID, "core-test")
    found = re.search(r"^OK \((\d+) tests\)$", output, re.MULTILINE)
    assert found is not None, output[-3000:]
    assert int(found[1]) == written >= 65


def test_kotlin_is_in_the_standard_style() -> None:
    KOTLIN.require()
    assert make(ANDROID, "lint") == ""


def test_too_little_memory(guided: Path) -> None:
    KOTLIN.require()
    done = KOTLIN.draw("--bundle", guided, "--prompt", "a cat", JAVA_OPTS="-Xmx8m")
    assert done.returncode == 2 and "expected enough memory, got none" in done.stderr
    assert done.stderr.count("\n") == 1 and done.stdout == ""


def test_the_core_knows_neither_android_nor_the_runtime() -> None:
    allowed = ("java.", "kotlin.", "kotlinx.coroutines.")
    sources = list(KOTLIN_CORE.glob("main/**/*.kt"))
    assert len(sources) > 30
    for path in sources:
        imports = re.findall(r"^import (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert all(name.startswith(allowed) for name in imports), (path, imports)
