"""How far every solver's table is from diffusers' scheduler: the latents of whole drawings, for every option.

    python -m benchmarks.checkpoints.solvers            # benchmarks/results/solvers.json, some minutes

The network is a small function that mixes the channels, so the drawings take no weights.  The noise of every step is
the same on both sides.  "float64" is diffusers' class made to compute in float64: what is left is a difference of the
formulas.  "float32" is the class as it is, with the options of Stable Diffusion.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

from tqdm import tqdm

from benchmarks.checkpoints.schedulers import class_name
from benchmarks.checkpoints.solver_options import STEPS, error_of, small, variants
from benchmarks.measuring.command_line import run_script
from benchmarks.measuring.results import write_result
from benchmarks.paths import RESULTS
from mobile_diffusion.config import SOLVERS, SPACINGS
from mobile_diffusion.schedule import step_table

RESULT = RESULTS / "solvers.json"


def row(solver: str) -> dict[str, Any]:
    """The figures of one solver: the largest error per number of steps, relative to the largest latent."""
    exact = dict.fromkeys(map(str, STEPS), 0.0)
    combinations = [config for spacing in SPACINGS for config in variants(solver, spacing)]
    for config in combinations:
        exact[str(config.steps)] = _worse(exact[str(config.steps)], error_of(config))
    plain = [small(solver, steps=steps, spacing=spacing, offset=1) for steps in STEPS for spacing in SPACINGS]
    table = step_table(small(solver))
    return {
        "scheduler": class_name(small(solver)),
        "combinations": len(combinations),
        "float64": exact,
        "float32": max(error_of(config, float64=False) for config in plain if not _inexact(config)),
        "evaluations_of_8_steps": len(table.rows()),
        "memory": table.memory,
        "noise": table.stochastic,
    }


def _worse(one: float, other: float) -> float:
    """The larger error; NaN wins."""
    return other if other != other or other > one else one


def _inexact(config: Any) -> bool:
    """One or two steps of linspace spacing lead to timestep 0, where diffusers' float32 knows sigma to 7e-5 only."""
    return bool(config.steps <= 2 and config.spacing == "linspace")


def main() -> None:
    """Compare and write."""
    warnings.simplefilter("ignore")
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    write_result(RESULT, {solver: row(solver) for solver in tqdm(SOLVERS, unit="solver")})


if __name__ == "__main__":
    run_script(main, __doc__)
