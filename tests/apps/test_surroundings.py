"""Every language draws the same picture in any locale, and from storage that can only be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.latency.reading import parse_latency
from tests.apps.conftest import CopyOf, reference
from tests.apps.languages import Language
from tests.apps.test_drawing import check


def test_no_locale_changes_a_picture_or_a_number(
    locale: dict[str, str], guided: Path, language: Language, tmp_path: Path
) -> None:
    options = ("--prompt", "I i İ", "--guidance", "2.5")
    check(language, guided, tmp_path, reference(guided, "I i İ", 0, 2.5), *options, **locale)
    done = language.draw("--bundle", guided, *options, "--benchmark", 1, **locale)
    parse_latency(done.stdout, language.name)


@pytest.mark.parametrize("name", ["C", "POSIX"])
def test_a_prompt_and_paths_are_utf8_without_a_locale(
    name: str, guided: Path, language: Language, tmp_path: Path
) -> None:
    prompt, folder = "ein grüner Apfel 🍎, İstanbul", tmp_path / "Bücher & 'more' \"\""
    folder.mkdir()
    bundle = folder / "Äpfel"
    bundle.symlink_to(guided, target_is_directory=True)
    expected = reference(guided, prompt, 2)
    assert not (expected == reference(guided, "ein gr??ner Apfel ????, ??stanbul", 2)).all()
    environment = {"LC_ALL": name, "LANG": name, "LANGUAGE": name}
    assert check(language, bundle, folder, expected, "--prompt", prompt, "--seed", 2, **environment) == ""


def test_a_bundle_that_can_only_be_read(guided: Path, copy_of: CopyOf, language: Language, tmp_path: Path) -> None:
    copy = copy_of(guided)
    for path in (*copy.rglob("*"), copy):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        check(language, copy, tmp_path, reference(guided, "a cat", 1), "--prompt", "a cat", "--seed", 1)
    finally:
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755)
