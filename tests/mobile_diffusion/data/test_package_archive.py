"""Fetching: pinned archives, resumed, and one line when npm, its registry or an archive is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mobile_diffusion.data.emoji_packages import STYLES, EmojiPackage
from mobile_diffusion.data.package_archive import fetch, read_json, read_members
from mobile_diffusion.errors import DataError

if TYPE_CHECKING:
    from benchmarks.robustness.packages import Registry


def test_fetches_once(registry: Registry, tmp_path: Path) -> None:
    package = registry.styles[0].package
    path = fetch(package, tmp_path / "sources")
    assert fetch(package, tmp_path / "sources") == path
    assert registry.asked == [package.address]
    assert [file.name for file in path.parent.iterdir()] == [package.archive]


def test_damaged_archive_is_fetched_again(registry: Registry, tmp_path: Path) -> None:
    package = registry.styles[0].package
    path = fetch(package, tmp_path)
    intact = path.read_bytes()
    path.write_bytes(intact[: len(intact) // 2])
    assert fetch(package, tmp_path).read_bytes() == intact


def test_other_content_than_pinned_is_refused(registry: Registry, tmp_path: Path) -> None:
    package = replace(registry.styles[0].package, sha512="A" * 88)
    with pytest.raises(DataError, match="SHA-512 AAAA"):
        fetch(package, tmp_path / "sources")
    assert list((tmp_path / "sources").iterdir()) == []


def test_missing_npm_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match=r"no npm on the PATH; install Node\.js") as caught:
        fetch(STYLES["3d"].package, tmp_path / "sources")
    assert "\n" not in str(caught.value)


def test_missing_registry_is_one_line(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"network request to registry failed.*check the network") as caught:
        fetch(EmojiPackage("absent", "1.0.0", "A" * 88), tmp_path)
    assert "\n" not in str(caught.value)


def test_out_that_cannot_be_a_folder_is_one_line(registry: Registry, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="change --out"):
        fetch(registry.styles[0].package, tmp_path / "file")


def test_broken_archive_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    path.write_bytes(b"not an archive")
    with pytest.raises(DataError, match=r"a\.tgz.*fetch again"):
        list(read_members(path, ""))


def test_absent_member_is_one_line(registry: Registry, tmp_path: Path) -> None:
    path = fetch(registry.captions[0], tmp_path)
    with pytest.raises(DataError, match=r"expected icons\.json"):
        read_json(path, "icons.json")


def test_archive_names_are_npms() -> None:
    assert EmojiPackage("@lobehub/fluent-emoji-3d", "1.1.0", "").archive == "lobehub-fluent-emoji-3d-1.1.0.tgz"
    assert EmojiPackage("emojilib", "4.0.3", "").archive == "emojilib-4.0.3.tgz"
