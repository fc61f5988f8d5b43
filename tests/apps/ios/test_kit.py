"""The Swift package: its own tests; the types of the runners for Apple's runtimes; format; the toolchain."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.apps.languages import IOS as SOURCE
from tests.apps.languages import KIT, LANGUAGES, make, passed_swift_tests, run_swift_suite, written_swift_tests

SWIFT = LANGUAGES[2]
GOLDEN = ("TokenTests", "NoiseTests", "ManifestTests", "PipelineTests")


@pytest.fixture
def language() -> object:
    """Swift alone, for `locale`."""
    SWIFT.require()
    return SWIFT


def test_the_packages_own_tests() -> None:
    SWIFT.require()
    output, written = make(SOURCE, "kit-test"), written_swift_tests(KIT / "Tests")
    assert passed_swift_tests(output) == written
    assert f"Executed {len(written)} tests, with 0 failures" in output
    assert all(any(name.startswith(suite) for name in written) for suite in GOLDEN)


@pytest.mark.parametrize("suite", ["BenchmarkTests", "JSONTests"])
def test_numbers_in_another_locale(suite: str, locale: dict[str, str]) -> None:
    run_swift_suite(suite, locale)


def test_types_of_the_runners_for_apples_runtimes_against_stubs() -> None:
    SWIFT.require()
    make(SOURCE, "typecheck")


@pytest.mark.parametrize(
    ("module", "right", "wrong", "message"),
    [
        ("CoreML", "configuration.computeUnits = computeUnits", "configuration.units = computeUnits", "member 'units'"),
        ("CoreAI", "model.loadFunction(named: method)", "model.function(named: method)", "member 'function'"),
        ("CoreAI", "try await function.run", "try function.run", "is 'async' but is not marked with 'await'"),
    ],
    ids=["Core ML", "Core AI", "a call that waits"],
)
def test_the_stubs_decide_what_exists(module: str, right: str, wrong: str, message: str) -> None:
    SWIFT.require()
    make(SOURCE, "typecheck")
    runner = (KIT / "Sources" / f"{module}Runner" / f"{module}Runner.swift").read_text()
    assert runner.count(right) == 1
    place = SOURCE / "build" / "Changed.swift"
    place.write_text(runner.replace(right, wrong))
    modules = ["-I", "build/stubs", "-I", "build/kit/release/Modules"]
    command = ["./swift.sh", "swiftc", "-swift-version", "6", "-typecheck", *modules, "build/Changed.swift"]
    done = subprocess.run(command, cwd=SOURCE, capture_output=True, text=True)
    place.unlink()
    assert done.returncode == 1 and message in done.stderr, done.stderr


def test_format() -> None:
    SWIFT.require()
    make(SOURCE, "lint")


def install(tmp_path: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """Run install-tools.sh with an empty home and with shell scripts in place of programs."""
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
def test_requirements_of_the_toolchain(programs: dict[str, str], message: str, tmp_path: Path) -> None:
    done = install(tmp_path, **programs)
    assert done.returncode == 1 and done.stdout == ""
    assert message in done.stderr and done.stderr.count("\n") == 1
    left = tmp_path / ".cache" / "mobile-diffusion"
    assert not left.exists() or not list(left.iterdir()), "nothing is left after a failure"


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


def test_a_missing_toolchain_is_reported_in_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([SOURCE / "swift.sh", "swift"], capture_output=True, text=True, env=environment)
    assert done.returncode == 69 and "apps/ios/install-tools.sh installs it" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_missing_right_to_mount_is_reported_in_one_line(tmp_path: Path) -> None:
    SWIFT.require()
    (tmp_path / "unshare").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "unshare").chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([SOURCE / "swift.sh", "swift"], capture_output=True, text=True, env=environment)
    assert done.returncode == 69 and "expected the right to mount" in done.stderr and done.stderr.count("\n") == 1
