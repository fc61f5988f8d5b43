"""`mobile-diffusion data fetch`: counts after success, the error's one line otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from mobile_diffusion import data
from mobile_diffusion.cli import data as command
from mobile_diffusion.errors import DataError

if TYPE_CHECKING:
    from benchmarks.robustness.packages import Registry


def test_fetch_reports_counts(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "choose_styles", lambda names: registry.styles)
    result = CliRunner().invoke(command.app, ["fetch", "--out", str(tmp_path / "emoji")])
    assert result.exit_code == 0, result.output
    assert "5 pictures in" in result.output
    assert "held-out" in result.output
    again = CliRunner().invoke(command.app, ["fetch", "--out", str(tmp_path / "emoji"), "--json"])
    counts = json.loads(again.stdout)["styles"]
    assert sum(each["train"] + each["held_out"] for each in counts) == 5
    for each in counts:
        assert f"{each['style']} " in result.output and each["licence"] in result.output


def test_the_styles_of_the_help_are_those_that_there_are() -> None:
    assert tuple(data.STYLES) == command.STYLE_NAMES


def test_unknown_style(tmp_path: Path) -> None:
    result = CliRunner().invoke(command.app, ["fetch", "--out", str(tmp_path / "emoji"), "--style", "3D"])
    assert isinstance(result.exception, DataError)
    assert not (tmp_path / "emoji").exists()


def test_help_names_the_styles() -> None:
    result = CliRunner().invoke(command.app, ["fetch", "--help"], env={"COLUMNS": "200"})
    assert "emojione" in result.output
    assert "mobile-diffusion data fetch --out data/emoji" in result.output
