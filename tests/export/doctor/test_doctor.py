"""`mobile-diffusion doctor`: each thing that can be missing is found, and its line ends with what to do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from export.doctor import examine as examine_module
from export.doctor.examine import examine, examine_disk, examine_memory, problems
from export.doctor.finding import OK, OPTIONAL, WRONG, Finding
from export.doctor.packages import EXTRAS, by_extra, examine_conflicts, examine_packages, installed, misfit
from export.doctor.phones import examine_android, examine_qnn
from mobile_diffusion.units import GB
from tests.export.cli.test_commands import Command, assert_refused, command
from tests.export.device.conftest import phone

__all__ = ["command", "phone"]


def by_name(findings: object) -> Mapping[str, Finding]:
    return {each.name: each for each in findings}  # type: ignore[attr-defined]


def test_this_computer_can_export(command: Command, tmp_path: Path) -> None:
    result = command("doctor", "--out", str(tmp_path), "--json")
    assert result.status == 0, result.err
    figures = json.loads(result.out)
    assert figures["ready"] is True
    assert all(bool(each["fix"]) == (each["state"] != OK) for each in figures["findings"])


def test_it_needs_no_torch_and_no_numpy() -> None:
    """What is missing may be exactly that."""
    script = (
        "import sys; sys.modules |= dict.fromkeys(['torch', 'numpy', 'onnx', 'coremltools', 'executorch'])\n"
        "from pathlib import Path; from export.doctor.examine import examine; print(len(examine(Path('.'))))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


@pytest.mark.parametrize(
    ("package", "found", "name", "state"),
    [
        ("torch", None, "packages for everything", WRONG),
        ("torch", "2.12.0", "packages for everything", WRONG),
        ("onnx", "1.22.0", "packages for every export", WRONG),
        ("resvg-py", None, "packages for the data set and training", OPTIONAL),
    ],
)
def test_a_package_that_does_not_fit(package: str, found: str | None, name: str, state: str) -> None:
    findings = by_name(examine_packages(lambda each: found if each == package else installed(each)))
    wrong = findings[name]
    assert (wrong.state, package in wrong.found) == (state, True)
    assert wrong.fix.startswith("pip install 'mobile-diffusion")
    assert sum(each.state == WRONG for each in findings.values()) == (state == WRONG)


def test_every_extra_of_users_is_examined() -> None:
    import tomllib

    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    extras = set(tomllib.loads(text)["project"]["optional-dependencies"])
    assert set(EXTRAS) - {""} == extras - {"test", "docs", "mac"}


def test_versions_are_compared_as_pip_compares_them() -> None:
    wanted = Requirement("example>=1.9,<2")
    assert misfit(wanted, lambda name: "1.10") == ""
    assert misfit(wanted, lambda name: "1.9.0+cpu") == ""
    assert "example 2.0, needs <2,>=1.9" in misfit(wanted, lambda name: "2.0")
    assert misfit(wanted, lambda name: None) == "example missing"


def test_markers_of_another_system_do_not_count() -> None:
    lines = ['a; extra == "train"', 'b; sys_platform == "plan9" and extra == "train"', "c"]
    groups = by_extra(list(map(Requirement, lines)))
    assert [each.name for each in groups["train"]] == ["a"]
    assert [each.name for each in groups[""]] == ["c"]


def test_packages_that_contradict_each_other() -> None:
    assert examine_conflicts().state == OK
    wrong = examine_conflicts(lambda name: "0.1" if name == "huggingface-hub" else installed(name))
    assert "tokenizers wants huggingface-hub" in wrong.found and "got 0.1" in wrong.found


def test_memory_and_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    for free, state in ((1 * GB, WRONG), (5 * GB, OPTIONAL), (40 * GB, OK)):
        monkeypatch.setattr(examine_module, "available_memory", lambda free=free: free)
        assert examine_memory().state == state
    for free, state in ((GB // 2, WRONG), (5 * GB, OPTIONAL), (40 * GB, OK)):
        monkeypatch.setattr(examine_module, "free_disk", lambda out, free=free: free)
        assert examine_disk(Path("build")).state == state


def test_an_unusable_computer_is_status_2(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(examine_module, "free_disk", lambda out: 1000)
    assert_refused(command("doctor", "--out", str(tmp_path)), f"problems with free disk at {tmp_path}: make room")


def test_android_phones(phone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [each.state for each in examine_android()] == [OK, OK]
    monkeypatch.setenv("PATH", "/nowhere")
    (missing,) = examine_android()
    assert (missing.found, missing.state) == ("no adb", OPTIONAL)


@pytest.mark.parametrize(
    ("printed", "found", "fix"),
    [
        ("", "none", "connect a phone"),
        ("ABC\tunauthorized", "unauthorized", "allow USB debugging"),
        ("ABC\toffline", "offline", "connect it again"),
    ],
)
def test_phones_that_are_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str, found: str, fix: str
) -> None:
    (tmp_path / "adb").write_text(f"#!/bin/sh\nprintf 'List of devices attached\\n{printed}\\n'\n")
    (tmp_path / "adb").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    _, finding = examine_android()
    assert (finding.found, fix in finding.fix, finding.state) == (found, True, OPTIONAL)


def test_qnn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QNN_SDK_ROOT", str(tmp_path))
    assert examine_qnn().found == f"no folder lib in {tmp_path}"
    (tmp_path / "lib").mkdir()
    assert examine_qnn().state == OK


def test_a_finding_without_a_fix_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="expected a fix"):
        Finding("memory", WRONG, "none")


def test_only_wrong_findings_are_problems(tmp_path: Path) -> None:
    assert problems(examine(tmp_path)) == []
    assert problems([Finding("a", OPTIONAL, "b", "c"), Finding("d", WRONG, "e", "f")]) == ["d"]
