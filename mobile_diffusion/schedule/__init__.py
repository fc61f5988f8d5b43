"""The diffusion process, and its solvers as tables of linear updates, all in float64.

process.py has the process and its conversions, levels.py its noise levels, spacing.py, curves.py and grids.py which of
them a sampler passes, table.py the step table, and solvers.py the solvers by name: those without memory are in
stochastic.py or there, the others in dpm_solver.py, adams.py, unipc.py, pndm.py and two_stage.py.  guidance_shares.py
says how much each step is guided.  ../sampler.py applies one step of a table, ../drawing.py loops over the steps.
"""

from mobile_diffusion.schedule.guidance_shares import row_shares, shares_within
from mobile_diffusion.schedule.process import (
    add_noise,
    alphas_cumprod,
    alphas_sigmas,
    betas,
    clean_from_epsilon,
    clean_from_velocity,
    epsilon_from_velocity,
    velocity,
    velocity_from_epsilon,
)
from mobile_diffusion.schedule.solvers import step_table
from mobile_diffusion.schedule.spacing import check_steps, timesteps
from mobile_diffusion.schedule.table import StepTable, rows_after

__all__ = [
    "StepTable",
    "add_noise",
    "alphas_cumprod",
    "alphas_sigmas",
    "betas",
    "check_steps",
    "clean_from_epsilon",
    "clean_from_velocity",
    "epsilon_from_velocity",
    "row_shares",
    "rows_after",
    "shares_within",
    "step_table",
    "timesteps",
    "velocity",
    "velocity_from_epsilon",
]
