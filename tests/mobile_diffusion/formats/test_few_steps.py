"""The few-step models of the Stable Diffusion family, opened as docs/guides/faster.md says and as their cards say.

The cards build another scheduler from that of the base model.  The drawings compare what the two do to the latents; the
weights of a LoRA have no part in it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from benchmarks.checkpoints.schedulers import trajectory_of_table, worst_error
from benchmarks.checkpoints.solver_options import network, normal
from mobile_diffusion.formats.scheduler import read_schedule
from mobile_diffusion.schedule import step_table
from tests.mobile_diffusion.formats.test_scheduler import SD15, TURBO

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "faster.md"
Card = Callable[[dict[str, Any]], Any]


def ddim(base: dict[str, Any]) -> Any:
    return diffusers.DDIMScheduler.from_config(base, timestep_spacing="trailing")


def pcm(_: dict[str, Any]) -> Any:
    betas = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return diffusers.TCDScheduler(num_train_timesteps=1000, timestep_spacing="trailing", **betas)


def clean(base: dict[str, Any]) -> Any:
    """The clean latents as predicted from noise at the last timestep (`get_x0_from_noise` of DMD2's test script)."""
    return diffusers.DDIMScheduler.from_config(base, timestep_spacing="trailing", set_alpha_to_one=True)


RECIPES: list[tuple[str, dict[str, Any], Card, dict[str, Any], dict[str, float]]] = [
    ("SD-Turbo", TURBO, diffusers.EulerDiscreteScheduler.from_config, {"num_inference_steps": 1}, {}),
    ("Hyper-SD, 1 step", SD15, diffusers.TCDScheduler.from_config, {"num_inference_steps": 1}, {"eta": 1.0}),
    ("Hyper-SD, 2, 4 or 8 steps", SD15, ddim, {"num_inference_steps": 8}, {}),
    ("LCM-LoRA", SD15, diffusers.LCMScheduler.from_config, {"num_inference_steps": 4}, {}),
    ("TCD-LoRA", SD15, diffusers.TCDScheduler.from_config, {"num_inference_steps": 4}, {"eta": 0.3}),
    ("PCM, 2 to 16 steps", SD15, pcm, {"num_inference_steps": 4}, {"eta": 0.3}),
    ("PCM, LCM-like", SD15, lambda _: diffusers.LCMScheduler(), {"num_inference_steps": 4}, {}),
    ("DMD2, 1 step", SD15, clean, {"num_inference_steps": 1}, {}),
    ("DMD2-like, 4 steps", SD15, diffusers.LCMScheduler.from_config, {"timesteps": [999, 749, 499, 249]}, {}),
]
"""Name in the guide, scheduler of the base model, and the card's scheduler, its timesteps and what its steps take."""


def row(name: str) -> str:
    """The command of a row of the guide's table."""
    (found,) = [line for line in GUIDE.read_text().splitlines() if line.startswith(f"| {name} |")]
    return found.split("|")[3]


def option(command: str, name: str) -> str | None:
    found = re.search(rf"--{name} (\S+?)[`\s]", command)
    return found and found[1]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe[0])
def test_a_few_step_model_is_drawn_as_its_card_says(recipe: tuple[str, Any, Card, Any, Any]) -> None:
    name, base, card, times, extra = recipe
    command = row(name)
    if name == "DMD2-like, 4 steps":  # its four timesteps are those of a consistency model that was distilled on four
        base = {**base, "original_inference_steps": 4}
    config = read_schedule(base, solver=option(command, "solver"))
    eta, spacing = option(command, "eta"), option(command, "spacing")
    changes: dict[str, Any] = {"eta": None if eta is None else float(eta)}
    config = type(config)(**{**vars(config), **changes, "spacing": spacing or config.spacing})
    table = step_table(config, int(option(command, "steps") or 0))
    (start,), noises = normal(1, 3), normal(len(table), 4)
    theirs = drawn(card({**base, "original_inference_steps": 50}), times, extra, start, noises)
    assert len(table) == len(theirs)
    assert worst_error(trajectory_of_table(table, network, start, noises), theirs) < 1e-5
    assert float(option(command, "guidance") or math.nan) in (0.0, 7.5)


def drawn(
    scheduler: Any, times: dict[str, Any], extra: dict[str, float], start: torch.Tensor, noises: list[torch.Tensor]
) -> list[torch.Tensor]:
    """The latents after each step of a card's scheduler, in float32; the noise of a step is given to it."""
    scheduler.set_timesteps(**times)
    latents, found = start.float() * scheduler.init_noise_sigma, []
    module = __import__(type(scheduler).__module__, fromlist=["randn_tensor"])
    for step, time in enumerate(scheduler.timesteps):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "randn_tensor", lambda *_, step=step, **__: noises[step].float())
            output = network(scheduler.scale_model_input(latents, time).double(), float(time)).float()
            latents = scheduler.step(output, time, latents, **extra).prev_sample
        found.append(latents.double())
    return found
