"""The sheet of all languages: equal pictures pass, another picture, a failing program and a missing program do not."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from apps import sheet
from tests.apps.conftest import reference

SIZE = (32, 32)
PROMPTS = (("a red apple, 3d", 7), ("a cat", 2**64 - 1))


def program(folder: Path, body: str) -> Path:
    """A program that takes the options of the apps' host programs; `out` is where its picture goes."""
    path, code = folder / "draw", folder / "draw.py"
    code.write_text(f"import sys\nout = sys.argv[sys.argv.index('--out') + 1]\n{body}\n")
    path.write_text(f'#!/bin/sh\nexec {shlex.join((sys.executable, str(code)))} "$@"\n')
    path.chmod(0o755)
    return path


@pytest.fixture
def make(guided: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the script with Python's picture and one more language; returns its status and its JSON."""

    def run(path: Path, *options: str) -> tuple[int, dict[str, Any]]:
        language = sheet.Language("Other", path, "make other", ("--out", "a.rgb"))
        columns: sheet.Columns = {
            title: lambda prompt, seed: reference(guided, prompt, seed) for title in ("PyTorch", sheet.PYTHON)
        }
        columns["Other"] = sheet._program(language, guided, 1, SIZE)
        monkeypatch.setattr(sheet, "open_columns", lambda *arguments: (columns, SIZE))
        monkeypatch.setattr(sheet, "PROMPTS", PROMPTS)
        monkeypatch.setattr(sys, "argv", ["sheet.py", "--out", str(tmp_path / "apps.png"), *options])
        status = sheet.main()
        said = tmp_path / "apps.json"
        return status, json.loads(said.read_text()) if said.exists() else {}

    return run


def test_equal_pictures_pass(make: Any, guided: Path, tmp_path: Path) -> None:
    for prompt, seed in PROMPTS:
        reference(guided, prompt, seed).tofile(tmp_path / f"{seed}.rgb")
    seed = "sys.argv[sys.argv.index('--seed') + 1]"
    body = f"open(out, 'wb').write(open({str(tmp_path)!r} + '/' + {seed} + '.rgb', 'rb').read())"
    status, said = make(program(tmp_path, body))
    assert status == 0 and said["missing"] == {}
    pictures = [row["pictures"] for row in said["rows"]]
    assert [each["Other"] == each["Python"] and each["Other"]["equal"] for each in pictures] == [True, True]
    assert [row["seed"] for row in said["rows"]] == ["7", str(2**64 - 1)]
    with Image.open(tmp_path / "apps.png") as image:
        drawn = np.asarray(image)
    expected = reference(guided, *PROMPTS[0])
    found = [x for x in range(drawn.shape[1] - 32) if np.array_equal(drawn[40:72, x : x + 32], expected)]
    assert len(found) == 3, "a column for each"


def test_another_picture_is_said_and_fails(make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    status, said = make(program(tmp_path, "open(out, 'wb').write(bytes(32 * 32 * 3))"))
    assert status == 1 and not said["rows"][0]["pictures"]["Other"]["equal"]
    assert "Other: 'a cat', seed 18446744073709551615: expected Python's picture, got another" in caplog.text


def test_a_missing_program_fails_unless_it_is_allowed(make: Any, tmp_path: Path) -> None:
    status, said = make(tmp_path / "absent")
    assert status == 1 and said["missing"] == {"Other": "not built; make other"}
    assert make(tmp_path / "absent", "--allow-missing")[0] == 0


def test_a_program_that_fails_is_no_missing_one(make: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    status, said = make(program(tmp_path, "sys.exit('expected memory, got none')"), "--allow-missing")
    assert (status, said) == (2, {}) and not (tmp_path / "apps.png").exists()
    assert "Other: expected a picture, got: expected memory, got none" in caplog.text
