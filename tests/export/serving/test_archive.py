"""A bundle for phones: one zip file, always the same bytes; and everything that is sent for a bundle."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from export.bundle.bundle import Bundle, open_bundle
from export.serving import site
from export.serving.archive import write_archive
from export.serving.content import content_of
from mobile_diffusion.errors import ConfigError, ExportError
from tests.export.samples import write_sample


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    write_sample(tmp_path / "bundle")
    return open_bundle(tmp_path / "bundle")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page of three files, where an installed package has its own."""
    folder = tmp_path / "site"
    (folder / "js").mkdir(parents=True)
    for name in ("index.html", "page.css", "js/page.js"):
        (folder / name).write_text(name, encoding="utf-8")
    monkeypatch.setattr(site, "PACKAGE", folder)
    return folder


def test_the_archive_holds_the_bundle_and_is_always_the_same(bundle: Bundle, tmp_path: Path) -> None:
    first, second = tmp_path / "first.zip", tmp_path / "second.zip"
    write_archive(bundle, first)
    for path in bundle.path.rglob("*"):
        os.utime(path, (1, 1))
    write_archive(bundle, second)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as opened:
        assert {entry.compress_type for entry in opened.infolist()} == {zipfile.ZIP_STORED}
        opened.extractall(tmp_path / "unpacked")
    assert open_bundle(tmp_path / "unpacked").manifest == bundle.manifest


def test_a_full_disk_is_one_line(bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10))
    with pytest.raises(ExportError, match="expected .* GB of free disk, got 0.0; free some"):
        write_archive(bundle, tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_everything_that_is_sent(bundle: Bundle, page: Path, tmp_path: Path) -> None:
    write_archive(bundle, tmp_path / "bundle.zip")
    content = content_of(bundle, tmp_path / "bundle.zip")
    listed = {f"bundle/{each.path}" for each in bundle.manifest.files}
    own = {"", "index.html", "page.css", "js/page.js", "bundle/manifest.json", "bundle.zip"}
    assert set(content) == listed | own
    for each in content.values():
        assert hashlib.sha256(each.path.read_bytes()).hexdigest() == each.sha256
    assert content["js/page.js"].kind == "text/javascript" and content[""].kind == "text/html"


def test_without_a_page_it_says_what_builds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site, "PACKAGE", tmp_path)
    monkeypatch.setattr(site, "CHECKOUT", tmp_path)
    with pytest.raises(
        ConfigError, match="serve: expected the page in .*, got none; build it with apps/web/install-tools"
    ):
        site.site_folder()
