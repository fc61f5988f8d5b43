"""The styles of a checkpoint: a list of names beside model.json, which changes neither hash nor weights."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from mobile_diffusion.checkpoint import Model, open_source, save_checkpoint
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.shipped import shipped_model
from tests.mobile_diffusion.checkpoints import one_line, tiny_config


@pytest.fixture
def folder(tiny_model: Model, tmp_path: Path) -> Path:
    config = dataclasses.replace(tiny_model.config, styles=("3d", "flat"))
    save_checkpoint(dataclasses.replace(tiny_model, config=config), tmp_path / "model")
    return tmp_path / "model"


def test_styles_are_saved_and_opened_and_are_no_part_of_the_hash(folder: Path, tiny_model: Model) -> None:
    opened = open_source(folder)
    assert opened.config.styles == ("3d", "flat")
    assert json.loads((folder / "styles.json").read_text()) == ["3d", "flat"]
    assert "styles" not in json.loads((folder / "model.json").read_text())
    save_checkpoint(tiny_model, folder, overwrite=True)
    assert not (folder / "styles.json").exists()
    plain = open_source(folder)
    assert plain.config.styles == () and plain.source_hash == opened.source_hash


@pytest.mark.parametrize("text", ["", "{}", '"3d"', "[3]", '["3d", "3d"]', '[""]', '["3d"'])
def test_a_list_that_is_none_is_one_line(folder: Path, text: str) -> None:
    (folder / "styles.json").write_text(text)
    assert "styles.json: expected a list of names" in one_line(lambda: open_source(folder))


def test_the_emoji_model_has_the_style_of_its_pictures() -> None:
    trained = json.loads((shipped_model() / "training" / "unet-settings.json").read_text())
    assert open_source(shipped_model()).config.styles == tuple(trained["styles"])


def test_styles_have_different_names() -> None:
    with pytest.raises(ConfigError, match="styles"):
        tiny_config(styles=("3d", "3d"))
