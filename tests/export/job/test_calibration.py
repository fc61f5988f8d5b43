"""What a stage is calibrated on: every step of every prompt, and prompts of a user's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from export.job.calibration import CALIBRATION_CASES, MOST_PROMPTS, collect, read_prompts
from export.parity.trajectories import CASES, Case
from export.runners.torch import TorchRunner
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import ConfigError


def test_every_step_of_every_prompt_is_recorded(tiny_model: Model, torch_runner: TorchRunner) -> None:
    cases = (Case("a red apple", 1), Case("a cat", 2))
    samples = collect(torch_runner, tiny_model.tokenizer, DrawSettings.of(tiny_model.config), cases)
    steps = [int(sample["step"]) for sample in samples["denoise"]]
    assert steps == 2 * list(range(tiny_model.config.schedule.steps))
    assert len({sample["latents"].numpy().tobytes() for sample in samples["denoise"]}) == len(steps)
    assert all(float(sample["guidance"]) == 3.0 for sample in samples["denoise"])
    assert len(samples["decode_image"]) == 2
    decoded = torch_runner.run("decode_image", latents=samples["decode_image"][0]["latents"].numpy())["image"]
    assert torch.equal(torch.from_numpy(decoded), samples["encode_image"][0]["image"])


def test_the_null_prompt_is_recorded_once(tiny_model: Model, torch_runner: TorchRunner) -> None:
    cases = (Case("a red apple", 1), Case("a cat", 2))
    texts = collect(torch_runner, tiny_model.tokenizer, DrawSettings.of(tiny_model.config), cases)["encode_text"]
    assert len(texts) == 3
    null = torch.from_numpy(tiny_model.tokenizer.encode("").ids[None])
    assert [torch.equal(text["tokens"], null) for text in texts] == [False, False, True]


def test_nothing_is_calibrated_on_what_it_is_judged_by() -> None:
    assert not {case.prompt for case in CALIBRATION_CASES} & {case.prompt for case in CASES}
    assert not {case.seed for case in CALIBRATION_CASES} & {case.seed for case in CASES}


def test_prompts_are_read_a_line_each(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("a fox\n\n  ein Bär \na fox\na boat\n", encoding="utf-8")
    cases = read_prompts(path)
    assert [case.prompt for case in cases] == ["a fox", "ein Bär", "a boat"]
    assert len({case.seed for case in cases}) == 3


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "got 0 in"),
        (b"\n \n", "got 0 in"),
        (b"a fox\na boat\n", "got 2 in"),
        (b"a fox\na fox\na fox\n", "got 1 in"),
        ("\n".join(map(str, range(MOST_PROMPTS + 1))).encode(), f"got {MOST_PROMPTS + 1} in"),
        (b"\xff\xfe\x00", "expected a text file"),
    ],
    ids=["empty", "blank", "short", "repeated", "long", "no text"],
)
def test_a_file_that_will_not_do_is_refused(content: bytes, got: str, tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=got) as error:
        read_prompts(path)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a text file"):
        read_prompts(tmp_path / "none.txt")
