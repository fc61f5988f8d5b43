"""Guidance in a part of the steps: which steps, against diffusers' guider, and what is refused."""

from __future__ import annotations

import math

import pytest
from diffusers.guiders import ClassifierFreeGuidance

from benchmarks.checkpoints.solver_options import small
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.schedule import row_shares, shares_within, step_table


@pytest.mark.parametrize("steps", [1, 2, 7, 8, 20, 50])
@pytest.mark.parametrize("interval", [(0.0, 1.0), (0.0, 0.5), (0.1, 0.8), (0.33, 0.66), (0.5, 1.0), (0.9, 0.95)])
def test_an_interval_guides_the_steps_that_diffusers_guider_does(interval: tuple[float, float], steps: int) -> None:
    guider = ClassifierFreeGuidance(guidance_scale=7.5, start=interval[0], stop=interval[1])
    theirs = []
    for step in range(steps):
        guider.set_state(step=step, num_inference_steps=steps, timestep=None)
        theirs.append(float(guider.num_conditions == 2))
    if any(theirs):
        assert shares_within(interval, steps) == tuple(theirs)
    else:
        with pytest.raises(ConfigError, match=f"guidance_interval: expected .* a step of {steps} in between"):
            shares_within(interval, steps)


@pytest.mark.parametrize(
    "interval", [(0.5, 0.5), (0.7, 0.2), (-0.1, 0.5), (0.0, 1.1), (math.nan, 1.0), (0.0, math.inf)]
)
def test_intervals_that_cannot_be_used(interval: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="guidance_interval: expected two numbers from 0 to 1") as found:
        shares_within(interval, 8)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("solver", ["ddim", "dpm-solver++", "pndm", "unipc", "heun"])
def test_a_drawing_that_begins_late_is_guided_as_the_rest_of_a_whole_one(solver: str) -> None:
    count = len(step_table(small(solver)).rows())
    shares = tuple((evaluation % 4) / 4 for evaluation in range(count))
    config = small(solver, guidance_shares=shares)
    table = step_table(config)
    of_rows = row_shares(config, table)
    assert len(of_rows) == len(table)
    for skipped in range(8):
        path = table.rows(skipped)
        assert [of_rows[row] for row in path] == list(shares[count - len(path) :])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"guidance_shares": (1.0, 0.5)}, "guidance_shares: expected 8, one for each evaluation of 'ddim', got 2"),
        ({"guidance_shares": (1.0, 1.5)}, r"guidance_shares is \(1.0, 1.5\); expected numbers from 0 to 1"),
        ({"guidance_shares": (math.nan,)}, "expected numbers from 0 to 1"),
        ({"guidance_shares": (0.0,) * 8}, "and a share above 0"),
        ({"guidance_shares": (1.0,) * 8, "guidance": 1.0}, "a guidance above 1"),
        ({"guidance_shares": (1.0,) * 8, "guidance_kind": "distilled"}, "guidance_kind 'cfg'"),
    ],
)
def test_shares_that_cannot_be_used(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config = small("ddim", **changes)
        row_shares(config, step_table(config))
