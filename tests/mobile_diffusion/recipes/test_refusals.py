"""What a person sees of a distillation or an evolution that cannot be: one line, status 2, and nothing written."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from export.cli import main
from mobile_diffusion.checkpoint import Model, save_checkpoint, source_hash, untrained_model
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.training.run_folder import SETTINGS, STATE
from tests.mobile_diffusion.slimming.test_evolution import table_of

TOML = """
student_steps = 4
styles = ["3d"]
guidance = "fixed"
[loop]
steps = {steps}
batch = 2
learning_rate = {rate}
warmup = 1
bfloat16 = false
save_every = 1
"""
Command = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(encoded: Path) -> Path:
    """A checkpoint "teacher", settings, and a run "run" whose inputs are there already."""
    write_settings(encoded)
    return encoded


def write_settings(folder: Path, steps: int = 2, rate: str = "1e-3") -> None:
    (folder / "student.toml").write_text(TOML.format(steps=steps, rate=rate))


@pytest.fixture
def distil(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `train distil` in the folder; returns the status and the last line of stderr, of which it has one."""

    def run(*more: str) -> tuple[int, str]:
        words = ["train", "distil", folder / "student.toml", "--run", folder / "run", "--out", folder / "out"]
        teacher = () if "--teacher" in more else ("--teacher", folder / "teacher")
        return command(monkeypatch, capsys, *words, *teacher, *more)

    return run


def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["mobile-diffusion", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main.main()
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) <= 1, errors
    return int(end.value.code or 0), "".join(lines)


def save_other(model: Model, config: ModelConfig, out: Path) -> None:
    torch.manual_seed(3)
    save_checkpoint(untrained_model(config, model.tokenizer), out)


def changed(config: ModelConfig, what: str) -> ModelConfig:
    """A model that does not fit the small one."""
    if what == "latent channels":
        autoencoder = dataclasses.replace(config.autoencoder, latent_channels=8)
        unet = dataclasses.replace(config.unet, in_channels=8, out_channels=8)
        return dataclasses.replace(config, autoencoder=autoencoder, unet=unet)
    if what == "text width":
        text, unet = dataclasses.replace(config.text, width=32), dataclasses.replace(config.unet, context_width=32)
        return dataclasses.replace(config, text=text, unet=unet)
    return dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, prediction="epsilon"))


@pytest.mark.parametrize("what", ["latent channels", "text width", "prediction"])
def test_a_student_that_does_not_fit(what: str, tiny_model: Model, folder: Path, distil: Command) -> None:
    save_other(tiny_model, changed(tiny_model.config, what), folder / "other")
    status, line = distil("--student", str(folder / "other"))
    assert status == 2 and f"student: expected the teacher's {what}, " in line
    assert not (folder / "out").exists() and not (folder / "run" / STATE).exists()


def test_a_grid_that_does_not_contain_the_students(tiny_model: Model, folder: Path, distil: Command) -> None:
    schedule = dataclasses.replace(tiny_model.config.schedule, spacing="linspace")
    config = dataclasses.replace(tiny_model.config, schedule=schedule)
    save_checkpoint(dataclasses.replace(tiny_model, config=config), folder / "linspace")
    status, line = distil("--teacher", str(folder / "linspace"))
    assert status == 2 and "spacing: expected 8 steps of the teacher that contain the student's 4" in line


def test_nan_stops_with_the_step_and_the_last_state_stays(folder: Path, distil: Command) -> None:
    write_settings(folder, steps=4, rate="1e30")  # the second step sees weights that are not finite any more
    status, line = distil()
    assert status == 2 and "expected a finite" in line and line.startswith("error: step ")
    assert (folder / "run" / STATE).exists() and not (folder / "out").exists()


def test_a_run_goes_on_with_its_own_teacher_and_student_alone(tiny_model: Model, folder: Path, distil: Command) -> None:
    save_other(tiny_model, tiny_model.config, folder / "other")
    assert distil()[0] == 0
    record = json.loads((folder / "run" / SETTINGS).read_text())
    expected = source_hash(folder / "teacher")
    assert (record["teacher_sha256"], record["student_sha256"]) == (expected, expected)
    state = (folder / "run" / STATE).read_bytes()
    for other in (("--teacher", str(folder / "other")), ("--student", str(folder / "other"))):
        status, line = distil(*other)
        assert status == 2 and "choose another --run" in line
    assert (folder / "run" / STATE).read_bytes() == state
    assert distil("--student", str(folder / "teacher"))[0] == 0  # the same first weights


def test_robust_training_goes_on_with_its_own_checkpoint_alone(
    tiny_model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(3)
    other = untrained_model(tiny_model.config, tiny_model.tokenizer).unet  # latents and captions stay the same
    save_checkpoint(dataclasses.replace(tiny_model, unet=other), folder / "other")
    (folder / "robust.toml").write_text(
        '[training]\nstyles = ["3d"]\n[training.loop]\nsteps = 1\nbatch = 2\nlearning_rate = 1e-3\nbfloat16 = false\n'
    )
    words = ["train", "robust", folder / "robust.toml", "--run", folder / "run", "--out", folder / "out"]
    assert command(monkeypatch, capsys, *words, "--model", folder / "teacher")[0] == 0
    status, line = command(monkeypatch, capsys, *words, "--model", folder / "other")
    assert status == 2 and "model_sha256 = " in line and "choose another --run" in line


def test_a_table_of_another_architecture(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "blocks.json").write_text(json.dumps(asdict(table_of())))
    (folder / "robust.toml").write_text(
        '[training]\nstyles = ["3d"]\n[training.loop]\nsteps = 1\nbatch = 2\nlearning_rate = 1e-3\n'
    )
    given = ["--table", folder / "blocks.json", "--target-ms", "9", "--model", folder / "teacher"]
    places = ["--run", folder / "run", "--out", folder / "out"]
    status, line = command(monkeypatch, capsys, "train", "evolve", folder / "robust.toml", *given, *places)
    assert status == 2 and "latency table: expected the U-Net of" in line
    assert not (folder / "out").exists()
