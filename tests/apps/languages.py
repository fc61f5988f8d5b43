"""The languages that draw pictures: how each is built, asked, and started; why its tests are skipped.

The checks that every language must pass are beside this file; a folder holds what only one language has. To add a
language, add its host program to `apps/sheet.py` and an entry to `LANGUAGES`.  The browser's library runs ONNX models,
where the others run ExecuTorch's programs: it is compared with the golden files alone.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps import sheet
from tests.apps.runner.probe import BUILT, check_golden

APPS = Path(__file__).parents[2] / "apps"
RUNNER, ANDROID, IOS, WEB_APP = APPS / "runner", APPS / "android", APPS / "ios", APPS / "web"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mobile-diffusion"
KOTLIN_TOOLS = CACHE / "kotlin"
KOTLIN_CORE = ANDROID / "core" / "src"
KIT = IOS / "MobileDiffusionKit"
RUNNER_HEADERS = (Path("/usr/include/nlohmann/json.hpp"), Path("/usr/include/stb/stb_image.h"))
KOTLIN_FILES = (
    KOTLIN_TOOLS / "node_modules/kotlin-compiler/lib/kotlin-compiler.jar",
    KOTLIN_TOOLS / "ktlint.jar",
    Path("/usr/share/java/junit4.jar"),
    Path("/usr/share/java/hamcrest-core.jar"),
)
SUITE = Path("build/kit/release/MobileDiffusionKitPackageTests.xctest")
WEB_TOOLS = CACHE / "web" / "node_modules"
WEB_FILES = (WEB_TOOLS / "typescript/bin/tsc", WEB_TOOLS / "onnxruntime-web/dist/ort.wasm.bundle.min.mjs")
ARM_TOOLS = ("make", "aarch64-linux-gnu-g++", "qemu-aarch64-static")
APK_TOOLS = ("aapt2", "zipalign", "apksigner", "keytool")
APK_FILES = (KOTLIN_TOOLS / "d8.jar", Path("/usr/share/android-framework-res/framework-res.apk"))
LOCALE_DEFINITION = Path("/usr/share/i18n/locales/tr_TR")
SWIFT_UNAVAILABLE = 69
"""The status of swift.sh without a toolchain, or without the right to run it."""
GOLDEN_CHECKS = ("tokens", "prompts", "noise", "manifests", "trajectories")
"""The kinds of golden files; assets/golden/README.md describes them."""

Done = subprocess.CompletedProcess[str]
Environment = Mapping[str, str]


def absent(app: Path, programs: Iterable[str], files: Iterable[Path] = ()) -> str:
    """Which programs and files are missing and what installs them, in one line; "" if none is."""
    names = [name for name in programs if shutil.which(name) is None]
    names += [path.name for path in files if not path.is_file()]
    return f"no {', '.join(names)}; apps/{app.name}/install-tools.sh installs what is missing" if names else ""


def make(app: Path, *words: str, environment: Environment | None = None) -> str:
    """Run make in an app's folder; returns its output, or fails with its end.

    One process of the tests builds at a time: all apps build the C++ library, and a compiler takes a gigabyte.
    """
    (RUNNER / "build").mkdir(exist_ok=True)
    with (RUNNER / "build" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            ["make", "-s", "-C", app, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **(environment or {})},
        )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


@dataclass(frozen=True)
class Library:
    """The library of one language: a folder of `apps/` that computes the golden files."""

    name: str
    """Its name in a report."""
    app: Path
    missing: Callable[[], str]
    """Why it cannot be built here, in one line; "" if it can."""
    targets: tuple[str, ...]
    """Targets of make that build what the tests start."""
    golden: Callable[[Sequence[str], Environment], None]
    """Compares with the golden files of these kinds, in an environment; fails with what differs."""
    locales: Mapping[str, Environment]
    """Environments in which the program follows another locale: a decimal comma, a dotless i, other digits."""
    tables: tuple[str, Path]
    """The function of apps/runner/make_unicode_tables.py that writes its tables of characters, and their file."""

    def require(self) -> None:
        """Skip the test with the reason, or build."""
        if self.name not in _built:
            reason = self.missing()
            if not reason:
                make(self.app, *self.targets)
            _built[self.name] = reason
        if _built[self.name]:
            pytest.skip(_built[self.name])


@dataclass(frozen=True)
class Language(Library):
    """A library with a host program that draws with it on ExecuTorch."""

    host: sheet.Language
    runner: str
    """Its name in latency.json."""
    check_output: Callable[[str, np.ndarray], None]
    """Checks what it prints after it has drawn a picture (H, W, 3)."""
    other_bundle: str
    """Its message for a stage that comes from another bundle."""
    options: Path
    """The source with the names of its options."""
    sees_bytes: bool = True
    """Whether arguments that are not UTF-8 reach it as they are."""

    def draw(self, *arguments: object, **environment: str) -> Done:
        """Start the host program, with one thread unless told otherwise; arguments may be bytes."""
        given = [each if isinstance(each, bytes) else str(each) for each in arguments]
        threads = [] if "--threads" in given else ["--threads", "1"]
        command = [self.host.program, *threads, *given]
        return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})

    def picture(self, folder: Path) -> tuple[str, Path]:
        """The option for a picture, and a file in this folder."""
        option, name = self.host.image
        return option, folder / name

    def read(self, file: Path, expected: np.ndarray) -> np.ndarray:
        """The pixels of a picture that it wrote, (H, W, 3) of uint8."""
        return sheet.read_pixels(file, (expected.shape[0], expected.shape[1]))


_built: dict[str, str] = {}
"""Language -> why it could not be built, or "": asked once a process."""


def arm_missing() -> str:
    """Why nothing can be built for 64-bit ARM and run here; "" if it can."""
    return absent(RUNNER, ARM_TOOLS, RUNNER_HEADERS)


def apk_missing() -> str:
    """Why no APK can be made; "" if one can."""
    return absent(ANDROID, APK_TOOLS, APK_FILES)


def locales_missing() -> str:
    """Why no locale can be compiled (Debian's package locales); "" if one can."""
    return absent(RUNNER, ("localedef",), (LOCALE_DEFINITION,))


def _swift_missing() -> str:
    if lacking := absent(RUNNER, ("make", "g++", "unshare")):
        return lacking
    done = subprocess.run([IOS / "swift.sh", "true"], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode == SWIFT_UNAVAILABLE else ""


def _kotlin_golden(checks: Sequence[str], environment: Environment) -> None:
    """By the JUnit tests of the core."""
    suites = {
        "tokens": "Tokenizer",
        "prompts": "Prompt",
        "noise": "Noise",
        "manifests": "Manifest",
        "trajectories": "Trajectory",
    }
    classes = [f"{suites[check]}Test" for check in checks]
    named = " ".join(f"org.mobilediffusion.core.{name}" for name in classes)
    java = {"JAVA_TOOL_OPTIONS": environment.get("JAVA_OPTS", "")}
    printed = make(ANDROID, "core-test", f"TEST_CLASSES={named}", environment=java)
    folder = KOTLIN_CORE / "test/kotlin/org/mobilediffusion/core"
    written = sum((folder / f"{name}.kt").read_text(encoding="utf-8").count("@Test") for name in classes)
    found = re.search(r"^OK \((\d+) tests?\)$", printed, re.MULTILINE)
    assert found is not None and int(found[1]) == written > 0, printed[-3000:]


def written_swift_tests(folder: Path, suites: Iterable[str] = ("",)) -> set[str]:
    """The tests of a Swift package in suites whose names start so, as XCTest names them."""
    found = set()
    for path in folder.rglob("*Tests.swift"):
        suite = ""
        for line in path.read_text(encoding="utf-8").splitlines():
            suite = name[1] if (name := re.search(r"class (\w+): \w*TestCase", line)) else suite
            if name := re.search(r"func (test\w+)\(\)", line):
                found.add(f"{suite}.{name[1]}")
    return {name for name in found if name.startswith(tuple(suites))}


def passed_swift_tests(printed: str) -> set[str]:
    """Every test that XCTest reports as passed."""
    return set(re.findall(r"Test Case '([\w.]+)' passed", printed))


def _swift_golden(checks: Sequence[str], environment: Environment) -> None:
    """By the package's own tests."""
    suites = {
        "tokens": "TokenTests",
        "prompts": "PromptTests",
        "noise": "NoiseTests",
        "manifests": "ManifestTests",
        "trajectories": "PipelineTests",
    }
    for suite in (suites[check] for check in checks):
        run_swift_suite(suite, environment)


def run_swift_suite(suite: str, environment: Environment) -> None:
    """Run one suite of the Swift package; fails unless every test of it passes."""
    done = subprocess.run(
        ["./swift.sh", "--run", SUITE, f"MobileDiffusionKitTests.{suite}"],
        cwd=IOS,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stdout[-3000:]
    written = written_swift_tests(KIT / "Tests", (f"{suite}.",))
    assert passed_swift_tests(done.stdout) == written != set()


def _node_golden(checks: Sequence[str], environment: Environment) -> None:
    """By the library's own tests."""
    run_node_tests(*checks, environment=environment)


def run_node_tests(*names: str, environment: Environment | None = None) -> None:
    """Run suites of the TypeScript library under node; fails unless every test of them passes."""
    printed = make(WEB_APP, "test", f"TESTS={' '.join(names)}", environment=environment)
    counts = {kind: int(count) for kind, count in re.findall(r"^# (tests|pass) (\d+)$", printed, re.MULTILINE)}
    assert counts["tests"] == counts["pass"] > 0, printed[-3000:]


def _is_latency(printed: str, picture: np.ndarray) -> None:
    assert json.loads(printed)["runners"][0]["stages"][0]["median_ms"] > 0


def _is_size(printed: str, picture: np.ndarray) -> None:
    values: dict[str, Any] = json.loads(printed)
    assert (values["height"], values["width"], 3) == picture.shape and values["milliseconds"] >= 0


def _is_nothing(printed: str, picture: np.ndarray) -> None:
    assert printed == ""


POSIX_LOCALES = {"German": "de_DE.UTF-8", "Turkish": "tr_TR.UTF-8", "Arabic": "ar_SA.UTF-8"}
"""A comma in numbers; a dotless i; text from right to left and other digits."""
JAVA_LOCALES = {
    "German": "-Duser.language=de -Duser.country=DE",
    "Turkish": "-Duser.language=tr -Duser.country=TR",
    "Arabic": "-Duser.language=ar -Duser.country=EG -Duser.extensions=u-nu-arab",
}
PRELOAD = {"LD_PRELOAD": "preload.so", "LD_LIBRARY_PATH": str(BUILT)}
"""Makes the C++ program follow LC_ALL, as an app does that follows its user's settings. LD_PRELOAD itself takes no path
with a space."""

_CPP, _KOTLIN, _SWIFT = sheet.LANGUAGES
LANGUAGES = (
    Language(
        name=_CPP.title,
        host=_CPP,
        app=RUNNER,
        missing=lambda: absent(RUNNER, ("g++", "make"), RUNNER_HEADERS),
        targets=("runner", "probe", "preload"),
        golden=check_golden,
        locales={kind: {"LC_ALL": name, **PRELOAD} for kind, name in POSIX_LOCALES.items()},
        runner="executorch c++",
        check_output=_is_latency,
        other_bundle="its inputs or outputs are not the manifest's",
        options=RUNNER / "src/options.cpp",
        tables=("source", RUNNER / "src/unicode_tables.cpp"),
    ),
    Language(
        name=_KOTLIN.title,
        host=_KOTLIN,
        app=ANDROID,
        missing=lambda: absent(ANDROID, ("java", "javac", "make", "g++"), KOTLIN_FILES),
        targets=("host", "build/core-test.jar"),
        golden=_kotlin_golden,
        locales={kind: {"JAVA_OPTS": options} for kind, options in JAVA_LOCALES.items()},
        runner="executorch kotlin",
        check_output=_is_size,
        other_bundle="denoise: expected outputs, got an error",
        options=ANDROID / "host/src/main/kotlin/org/mobilediffusion/host/Options.kt",
        tables=("kotlin_source", KOTLIN_CORE / "main/kotlin/org/mobilediffusion/core/UnicodeTables.kt"),
        sees_bytes=False,  # Java replaces them before the program starts
    ),
    Language(
        name=_SWIFT.title,
        host=_SWIFT,
        app=IOS,
        missing=_swift_missing,
        targets=("draw",),
        golden=_swift_golden,
        locales={kind: {"LC_ALL": name, "LANG": name} for kind, name in POSIX_LOCALES.items()},
        runner="executorch swift",
        check_output=_is_nothing,
        other_bundle="denoise: expected outputs, got an error",
        options=KIT / "Sources/draw/Options.swift",
        tables=("swift_source", KIT / "Sources/MobileDiffusionKit/UnicodeTables.swift"),
    ),
)
WEB = Library(
    name="TypeScript",
    app=WEB_APP,
    missing=lambda: absent(WEB_APP, ("node", "make"), WEB_FILES),
    targets=("all",),
    golden=_node_golden,
    locales={kind: {"LC_ALL": name, "LANG": name} for kind, name in POSIX_LOCALES.items()},
    tables=("typescript_source", WEB_APP / "src/unicode-tables.ts"),
)
LIBRARIES: tuple[Library, ...] = (*LANGUAGES, WEB)
SKIPS: Mapping[str, tuple[Callable[[], str], ...]] = {
    "runner": (LANGUAGES[0].missing, arm_missing, locales_missing),
    "android": (LANGUAGES[1].missing, apk_missing),
    "ios": (LANGUAGES[2].missing,),
    "web": (WEB.missing,),
}
"""Folder of apps/ -> every reason to skip a test that its install-tools.sh removes."""
