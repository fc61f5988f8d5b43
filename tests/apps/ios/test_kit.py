"""The Swift package: its own tests, in several languages; the Core ML runner's types; format; the toolchain."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
from pathlib import Path

import pytest

from tests.apps.conftest import LOCALES, ROOT
from tests.apps.ios.conftest import KIT, SOURCE, make, require_tools

SUITE = SOURCE / "build" / "kit" / "release" / "MobileDiffusionKitPackageTests.xctest"
GOLDEN = ("TokenTests", "NoiseTests", "ManifestTests", "PipelineTests")


def written_tests() -> set[str]:
    """Every test of the package, as XCTest names it."""
    found = set()
    for path in (KIT / "Tests").rglob("*Tests.swift"):
        found |= {f"{path.stem}.{name}" for name in re.findall(r"func (test\w+)\(\)", path.read_text())}
    return found


def passed_tests(output: str) -> set[str]:
    """Every test that XCTest says has passed."""
    return set(re.findall(r"Test Case '([\w.]+)' passed", output))


def test_the_packages_own_tests() -> None:
    output = make("kit-test")
    assert passed_tests(output) == written_tests()
    assert f"Executed {len(written_tests())} tests, with 0 failures" in output
    assert all(any(name.startswith(suite) for name in written_tests()) for suite in GOLDEN)


@pytest.mark.parametrize("language", LOCALES)
def test_golden_files_in_another_language(language: str, locales: dict[str, str]) -> None:
    make("kit")
    environment = {**os.environ, **locales, "LC_ALL": language, "LANG": language}
    for suite in (*GOLDEN, "BenchmarkTests", "JSONTests"):
        done = subprocess.run(
            [SOURCE / "swift.sh", "--run", SUITE, f"MobileDiffusionKitTests.{suite}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment,
        )
        assert done.returncode == 0, done.stdout[-3000:]
        assert passed_tests(done.stdout) == {name for name in written_tests() if name.startswith(f"{suite}.")}


def test_types_of_the_core_ml_runner_against_stubs() -> None:
    make("typecheck")


def test_stubs_are_held_to() -> None:
    make("typecheck")
    runner = (KIT / "Sources" / "CoreMLRunner" / "CoreMLRunner.swift").read_text()
    changed = runner.replace("configuration.computeUnits = computeUnits", "configuration.units = computeUnits")
    assert changed != runner
    place = SOURCE / "build" / "Changed.swift"
    place.write_text(changed)
    folders = (SOURCE / "build" / "stubs", SOURCE / "build" / "kit" / "release" / "Modules")
    modules = [option for folder in folders for option in ("-I", str(folder))]
    command = [str(SOURCE / "swift.sh"), "swiftc", "-swift-version", "6", "-typecheck", *modules, str(place)]
    done = subprocess.run(command, capture_output=True, text=True)
    place.unlink()
    assert done.returncode == 1 and "has no member 'units'" in done.stderr


def test_format() -> None:
    make("lint")


def test_tables_of_characters_are_those_of_the_installed_library() -> None:
    made = runpy.run_path(str(ROOT / "apps" / "runner" / "make_unicode_tables.py"))
    assert made["SWIFT"].read_text(encoding="ascii") == made["swift_source"]()


def install(tmp_path: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Runs install-tools.sh with an empty home and with programs that are shell scripts."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    for name in ("bash", "uname", "dirname", "mkdir", "mktemp", "rm", "mv", "chmod", "tail", "grep"):
        (folder / name).symlink_to(f"/usr/bin/{name}")
    environment = {"HOME": str(tmp_path), "PATH": str(folder)}
    return subprocess.run([SOURCE / "install-tools.sh"], capture_output=True, text=True, env=environment)


ROOT_USER = 'if [ "$1" = -u ]; then echo 0; else echo root; fi'
MIRROR = "echo http://mirror.example/debian/"


@pytest.mark.parametrize(
    ("programs", "message"),
    [
        ({"id": 'if [ "$1" = -u ]; then echo 7; else echo ann; fi'}, "expected root, got user ann; run it as root"),
        ({"id": ROOT_USER}, "expected debootstrap, got none; apt-get install debootstrap"),
        ({"id": ROOT_USER, "debootstrap": "exit 1"}, "expected a mirror of Debian among apt's sources, got none"),
        (
            {"id": ROOT_USER, "apt-get": MIRROR, "debootstrap": 'echo "E: no such suite"; exit 1'},
            "swiftlang at http://mirror.example/debian/, got: E: no such suite; name another mirror",
        ),
    ],
    ids=["no root", "no debootstrap", "no mirror", "another mirror"],
)
def test_what_the_toolchain_needs(programs: dict[str, str], message: str, tmp_path: Path) -> None:
    done = install(tmp_path, **programs)
    assert done.returncode == 1 and done.stdout == ""
    assert message in done.stderr and done.stderr.count("\n") == 1
    left = tmp_path / ".cache" / "mobile-diffusion"
    assert not left.exists() or not list(left.iterdir()), "nothing is left behind a failure"


def test_a_toolchain_appears_whole_and_once(tmp_path: Path) -> None:
    fake = """for folder; do [ -d "$folder" ] && break; done
        bin="$folder/usr/libexec/swift/bin"
        /usr/bin/mkdir -p "$bin"
        echo "#!/bin/sh" >"$bin/swift-build"
        /usr/bin/chmod +x "$bin/swift-build"
        echo >>"$HOME/calls" """
    done = install(tmp_path, id=ROOT_USER, debootstrap=fake, **{"apt-get": MIRROR})
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in (tmp_path / ".cache" / "mobile-diffusion").iterdir()] == ["swift"]
    environment = {"HOME": str(tmp_path), "PATH": str(tmp_path / "bin")}
    subprocess.run([SOURCE / "install-tools.sh"], check=True, env=environment)
    assert (tmp_path / "calls").read_text() == "\n", "installed once"


def test_no_toolchain_is_said_in_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([SOURCE / "swift.sh", "swift"], capture_output=True, text=True, env=environment)
    assert done.returncode == 69 and "apps/ios/install-tools.sh installs it" in done.stderr
    assert done.stderr.count("\n") == 1


def test_no_right_to_mount_is_said_in_one_line(tmp_path: Path) -> None:
    require_tools()
    (tmp_path / "unshare").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "unshare").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([SOURCE / "swift.sh", "swift"], capture_output=True, text=True, env=environment)
    assert done.returncode == 69 and "expected the right to mount" in done.stderr and done.stderr.count("\n") == 1
