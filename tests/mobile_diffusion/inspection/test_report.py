"""A checkpoint's inspection and its screen; at real width, from files that hold no weights, within ten seconds."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn
from typer.testing import CliRunner

import mobile_diffusion.checkpoint
from mobile_diffusion.checkpoint import Model, open_source, save_checkpoint
from mobile_diffusion.cli.command_group import CommandGroup
from mobile_diffusion.cli.inspect import inspect, screen
from mobile_diffusion.config import UNetLevel
from mobile_diffusion.config_json import to_dict
from mobile_diffusion.formats.checkpoint_files import builders
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.inspection import inspect_checkpoint
from mobile_diffusion.inspection.report import find_preset
from mobile_diffusion.presets import preset
from mobile_diffusion.tokenization.clip_tokenizer import ClipTokenizer

VOCABULARY = Path(mobile_diffusion.checkpoint.__file__).parent / "clip_vocabulary"


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Model) -> Path:
    save_checkpoint(tiny_model, tmp_path / "tiny")
    return tmp_path / "tiny"


def test_what_a_checkpoint_is(folder: Path, tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mobile_diffusion.checkpoint, "load_layout", _refuse)
    inspection = inspect_checkpoint(open_source(folder))
    assert (inspection.format, inspection.preset, inspection.tokenizer) == ("mobile-diffusion", None, "wordpiece")
    assert inspection.schedule == tiny_model.config.schedule
    found = {part.name: (part.parameters, part.dtypes, part.bytes_on_disk) for part in inspection.components}
    expected = {
        name: sum(tensor.numel() for tensor in part.state_dict().values()) for name, part in tiny_model.parts.items()
    }
    assert found == {name: (count, ("F16",), 2 * count) for name, count in expected.items()}
    assert inspection.macs == sum(stage.runs * stage.macs for stage in inspection.stages)
    assert [verdict.phone for verdict in inspection.verdicts] == ["ios", "android"]


def _refuse(*arguments: object) -> nn.Module:
    raise AssertionError("weights were read")


def test_options_count(folder: Path) -> None:
    small = inspect_checkpoint(open_source(folder))
    large = inspect_checkpoint(open_source(folder, OpenOptions(height=64, width=64, steps=4)))
    assert (large.height, large.width, large.stages[1].runs) == (64, 64, 4)
    assert large.stages[1].macs > 4 * small.stages[1].macs


def test_a_preset_is_known_whichever_way_its_heads_are_stated() -> None:
    unet = preset("sd15").unet

    def stated(stage: UNetLevel) -> UNetLevel:
        return dataclasses.replace(stage, heads=8)

    same = dataclasses.replace(unet, down=tuple(map(stated, unet.down)), up=tuple(map(stated, unet.up)))
    assert find_preset(same) == "sd15"
    assert find_preset(dataclasses.replace(same, heads=4)) is None  # the middle's are not stated
    assert find_preset(preset("sd21-v").unet) == "sd21-base"


def run(*arguments: str) -> str:
    app = CommandGroup()
    app.command()(inspect)
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_the_command_prints_a_screen(folder: Path) -> None:
    text = run(str(folder))
    for words in ("checkpoint", "ddim, 8 steps, trailing spacing", "cfg (two evaluations a step)", "denoise", "6-bit"):
        assert words in text
    assert len(text.splitlines()) <= 40
    assert max(map(len, text.splitlines())) <= 110


def test_the_command_prints_json(folder: Path) -> None:
    values = json.loads(run(str(folder), "--json", "--size", "32x64"))
    assert (values["height"], values["width"]) == (64, 32)
    assert values["stages"][1]["name"] == "denoise"
    assert set(values["stages"][1]["weight_bytes"]) == {"fp32", "fp16", "int8", "6-bit", "4-bit"}
    assert values["macs"] == sum(stage["runs"] * stage["macs"] for stage in values["stages"])
    assert isinstance(values["verdicts"][0]["takes"], bool)


def write_without_weights(path: Path) -> None:
    """Stable Diffusion 1.5 at its real width; the files have headers, and holes where the weights would be."""
    config = preset("sd15")
    path.mkdir()
    (path / "model.json").write_text(json.dumps({"format": 2, **to_dict(config)}))
    ClipTokenizer.from_folder(VOCABULARY, 77).save(path / "tokenizer.json")
    with torch.device("meta"):
        parts = {name: build().state_dict() for name, build in builders(config).items()}
    for name, state in parts.items():
        header, end = {}, 0
        for key, tensor in state.items():
            start, end = end, end + 2 * tensor.numel()
            header[key] = {"dtype": "F16", "shape": list(tensor.shape), "data_offsets": [start, end]}
        raw = json.dumps(header).encode()
        with (path / f"{name}.safetensors").open("wb") as stream:
            stream.write(len(raw).to_bytes(8, "little") + raw)
            stream.truncate(8 + len(raw) + end)


def test_real_width_takes_seconds(tmp_path: Path) -> None:
    write_without_weights(tmp_path / "sd15")
    start = time.process_time()
    inspection = inspect_checkpoint(open_source(tmp_path / "sd15"))
    assert time.process_time() - start < 10
    assert inspection.preset == "sd15"
    assert [part.parameters for part in inspection.components] == [123_060_480, 859_520_964, 83_653_863]
    assert {verdict.phone: verdict.takes for verdict in inspection.verdicts} == {"ios": True, "android": False}
    console = Console(width=110, record=True, highlight=False)
    console.print(screen(inspection))
    text = console.export_text()
    assert "859.5" in text
    assert "1.71 GB of fp16 weights + 1.10 GB of activations" in " ".join(text.split())
