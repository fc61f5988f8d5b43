"""What stands beside the weights of a single file: prediction, schedule and size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.checkpoint_files import hash_source
from tests.mobile_diffusion.formats.compvis_files import (
    read,
    rewritten,
    write,
)


def test_prediction_of_stable_diffusion_2_must_be_said(tmp_path: Path) -> None:
    written = write(tmp_path, "sd2")
    with pytest.raises(ConfigError, match="--prediction"):
        read(written.file)
    assert read(written.file, prediction="epsilon").config.height == 512
    config = read(written.file, prediction="v").config
    assert (config.schedule.prediction, config.height, config.width) == ("v", 768, 768)
    marked = rewritten(tmp_path, written, lambda state: state | {"v_pred": torch.zeros(())})
    assert read(marked).config.schedule.prediction == "v"


CONFIGURATION = """
model:
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    parameterization: "v"
    linear_start: 0.00085
    linear_end: 0.0120
    timesteps: 1000
    scale_factor: 0.18215
    conditioning_key: crossattn
    cond_stage_config:
      params: {layer: "penultimate"}
"""


def test_a_configuration_beside_the_file_is_read(tmp_path: Path) -> None:
    written = write(tmp_path, "sd2")
    written.file.with_suffix(".yaml").write_text(CONFIGURATION)
    source = read(written.file)
    assert source.config.schedule.prediction == "v"
    assert written.file.with_suffix(".yaml") in source.files
    before = hash_source(source)
    written.file.with_suffix(".yaml").write_text(CONFIGURATION.replace('    parameterization: "v"\n', ""))
    assert read(written.file).config.schedule.prediction == "epsilon"
    assert hash_source(read(written.file)) != before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("    beta_schedule: cosine", "option beta_schedule"),
        ("    conditioning_key: hybrid", "option conditioning_key"),
        ("    linear_end: 0.02", "betas"),
        ("    timesteps: many", "option timesteps: expected a number, got 'many'"),
        ("    scale_factor: true", "option scale_factor"),
        ("  - what", "expected an LDM configuration"),
        ("    made: 2024-13-45", "month must be in 1..12"),
        ("    made: " + "9" * 5001, r"limit \(4300 digits\)"),
        ("    timesteps: 0x" + "f" * 5001, "an integer of 20004 bits"),
        ("    made: " + "[" * 5001, "nested too deeply"),
        ("    made: " + "[" * 5001 + "]" * 5001, "nested too deeply"),
        ("    made: !!int ''", "expected an LDM configuration"),
        ("    made: !!timestamp x", "expected an LDM configuration"),
        ("    made: !!python/object:os.system {}", "could not determine a constructor"),
        ("    made: &made [*made]", "more than 10000 values"),
        ("    conditioning_key: &made [*made]", "more than 10000 values"),
        ("    made: " + "x" * 2**20, "more than 1048576 bytes"),
        ("    parameterization: [v]", "option parameterization: expected a word"),
        ("    scale_factor: .nan", "scale_factor"),
        ("    linear_start: .inf", "linear_start"),
        ("      params: [layer]", "expected an LDM configuration"),
        ("      params: layer", "expected an LDM configuration"),
    ],
)
def test_a_configuration_that_is_not_supported(tmp_path: Path, line: str, message: str) -> None:
    written = write(tmp_path, "sd2")
    key = line.split(":")[0] + ":"
    lines = [old for old in CONFIGURATION.splitlines() if not old.startswith(key)]
    written.file.with_suffix(".yaml").write_text("\n".join([*lines[:4], line, *lines[4:]]))
    with pytest.raises((CheckpointError, ConfigError), match=message) as caught:
        read(written.file)
    assert "\n" not in str(caught.value) and len(str(caught.value).removeprefix(str(written.file))) < 350


def test_aliases_of_aliases_are_refused_at_once(tmp_path: Path) -> None:
    """Ten lines that would be 10^9 words written out, as the value that a message would repeat."""
    written = write(tmp_path, "sd2")
    bomb = ["a0: &a0 [word]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    text = CONFIGURATION.replace("crossattn", "*a9")
    written.file.with_suffix(".yaml").write_text("\n".join(bomb) + text)
    with pytest.raises(CheckpointError, match="more than 10000 values"):
        read(written.file)


def test_notes_in_the_file_are_read(tmp_path: Path) -> None:
    written = write(tmp_path)
    notes = {"modelspec.prediction_type": "v", "modelspec.resolution": "640x512", "modelspec.license": "MIT"}
    file = tmp_path / "noted.safetensors"
    save_file(load_file(written.file), file, metadata=notes)
    config = read(file).config
    assert (config.schedule.prediction, config.height, config.width, config.licence) == ("v", 512, 640, "MIT")
    file.with_suffix(".yaml").write_text(CONFIGURATION.replace('"v"', "eps").replace("penultimate", "last"))
    with pytest.raises(CheckpointError, match="expected one prediction, got epsilon and v"):
        read(file)
