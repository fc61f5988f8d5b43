"""Tables for scheduler.py: diffusers' schedulers, which of them are supported, their defaults and restrictions."""

from __future__ import annotations

import math
from dataclasses import dataclass

BETA_SCHEDULES = {"linear": "linear", "scaled_linear": "scaled_linear", "squaredcos_cap_v2": "cosine"}
PREDICTIONS = {"epsilon": "epsilon", "sample": "sample", "v_prediction": "v"}

WIDE_BETAS = (0.0001, 0.02, "linear")
NARROW_BETAS = (0.00085, 0.012, "linear")
LATENT_BETAS = (0.00085, 0.012, "scaled_linear")
"""Default beta_start, beta_end and beta_schedule; which of the three applies depends on the class."""


@dataclass(frozen=True)
class SchedulerClass:
    """A scheduler class of diffusers and the solver here that matches it."""

    solver: str
    """The solver that computes the same, or the most similar one."""
    lack: str = ""
    """What the solver does not do; empty when the scheduler is supported."""
    betas: tuple[float, float, str] = WIDE_BETAS


CLASSES = {
    "DDIMScheduler": SchedulerClass("ddim"),
    "PNDMScheduler": SchedulerClass("pndm"),
    "DPMSolverMultistepScheduler": SchedulerClass("dpm-solver++"),
    "EulerDiscreteScheduler": SchedulerClass("euler"),
    "LCMScheduler": SchedulerClass("lcm", betas=LATENT_BETAS),
    "DDPMScheduler": SchedulerClass("ddim", "adds noise at every step"),
    "DDIMParallelScheduler": SchedulerClass("ddim", "takes its steps in parallel"),
    "DDPMParallelScheduler": SchedulerClass("ddim", "adds noise at every step"),
    "DEISMultistepScheduler": SchedulerClass("dpm-solver++", "weights earlier outputs differently"),
    "UniPCMultistepScheduler": SchedulerClass("dpm-solver++", "corrects every step with the next output"),
    "DPMSolverSinglestepScheduler": SchedulerClass("dpm-solver++", "evaluates the network inside a step"),
    "DPMSolverSDEScheduler": SchedulerClass("dpm-solver++", "follows a Brownian path", NARROW_BETAS),
    "SASolverScheduler": SchedulerClass("dpm-solver++", "adds noise at every step"),
    "HeunDiscreteScheduler": SchedulerClass("dpm-solver++", "evaluates the network twice a step", NARROW_BETAS),
    "KDPM2DiscreteScheduler": SchedulerClass("dpm-solver++", "evaluates the network twice a step", NARROW_BETAS),
    "KDPM2AncestralDiscreteScheduler": SchedulerClass("dpm-solver++", "adds noise at every step", NARROW_BETAS),
    "EulerAncestralDiscreteScheduler": SchedulerClass("euler", "adds noise at every step"),
    "LMSDiscreteScheduler": SchedulerClass("euler", "weights earlier outputs differently"),
    "TCDScheduler": SchedulerClass("lcm", "adds less noise than a consistency model", LATENT_BETAS),
}
FLOW_PREFIX = "FlowMatch"
"""Prefix of the names of flow-matching schedulers (Stable Diffusion 3, Flux), which use another process."""

SPACINGS = {"ddim": "leading", "pndm": "leading", "lcm": "leading", "dpm-solver++": "linspace", "euler": "linspace"}
"""Default timestep_spacing per solver."""
ALPHA_TO_ONE = {"ddim": True, "pndm": False}
"""Default set_alpha_to_one per solver; the other solvers do not read it."""
SIGMA_SOLVERS = ("dpm-solver++", "euler")
"""Solvers that read final_sigmas_type and use_karras_sigmas."""


@dataclass(frozen=True)
class SupportedValues:
    """An option of which only some values are supported."""

    name: str
    default: object
    """Default in diffusers."""
    accepted: tuple[object, ...]
    """The values that are supported."""
    hint: str
    """How to fix another value; it ends the error message."""


_SET_FALSE = "set it to false or choose another solver with --solver"
_THRESHOLDING = SupportedValues(
    "thresholding", False, (False,), "it is not linear and not meant for latents; set it to false"
)
_CLIP_HINT = "clipping is not linear; set it to false, as StableDiffusionPipeline does"
_RANGE = "only the range of the training steps is known; set it to null"

LIMITS: dict[str, tuple[SupportedValues, ...]] = {
    "ddim": (SupportedValues("clip_sample", True, (False,), _CLIP_HINT), _THRESHOLDING),
    "pndm": (
        SupportedValues(
            "skip_prk_steps",
            False,
            (True,),
            "Runge-Kutta steps are not supported; set it to true or use --solver ddim",
        ),
    ),
    "dpm-solver++": (
        SupportedValues(
            "solver_order", 2, (2,), "for order 1 use --solver euler, which is similar; order 3 is not supported"
        ),
        SupportedValues(
            "algorithm_type", "dpmsolver++", ("dpmsolver++", "deis"), "choose --solver dpm-solver++ to ignore it"
        ),
        SupportedValues(
            "solver_type", "midpoint", ("midpoint", "logrho", "bh1", "bh2"), "choose --solver dpm-solver++ to ignore it"
        ),
        SupportedValues("use_exponential_sigmas", False, (False,), _SET_FALSE),
        SupportedValues("use_beta_sigmas", False, (False,), _SET_FALSE),
        SupportedValues("use_lu_lambdas", False, (False,), _SET_FALSE),
        SupportedValues(
            "use_flow_sigmas", False, (False,), "it is for models of flow matching, which are not supported"
        ),
        SupportedValues(
            "use_dynamic_shifting", False, (False,), "it is for models of flow matching, which are not supported"
        ),
        SupportedValues("lambda_min_clipped", -math.inf, (-math.inf,), "set it to -Infinity or choose --solver ddim"),
        SupportedValues("variance_type", None, (None,), "the variance is not read; set it to null"),
        _THRESHOLDING,
    ),
    "euler": (
        SupportedValues("interpolation_type", "linear", ("linear",), "set it to 'linear'"),
        SupportedValues(
            "timestep_type", "discrete", ("discrete",), "set it to 'discrete' if the model counts whole timesteps"
        ),
        SupportedValues("use_exponential_sigmas", False, (False, None), _SET_FALSE),
        SupportedValues("use_beta_sigmas", False, (False, None), _SET_FALSE),
        SupportedValues("sigma_min", None, (None,), _RANGE),
        SupportedValues("sigma_max", None, (None,), _RANGE),
    ),
    "lcm": (
        SupportedValues("clip_sample", False, (False,), _CLIP_HINT),
        SupportedValues("timestep_scaling", 10.0, (10.0,), "set it to 10.0"),
        _THRESHOLDING,
    ),
}
"""Options with restrictions, per solver.  diffusers reads algorithm_type "deis" as "dpmsolver++", and solver_type
"logrho", "bh1" and "bh2" as "midpoint"."""

WITHOUT_EFFECT = frozenset(
    (
        *("dynamic_thresholding_ratio", "sample_max_value", "clip_sample_range", "flow_shift", "time_shift_type"),
        *("tensor_format", "timestep_values"),
    )
)
"""Options that have an effect only together with another option, which is not supported, and two of 2022 that named
the array library and an unused list."""
ELSEWHERE = frozenset(
    (
        *(limit.name for limits in LIMITS.values() for limit in limits),
        *("set_alpha_to_one", "final_sigmas_type", "use_karras_sigmas", "lower_order_final", "euler_at_final"),
        *("original_inference_steps", "rescale_betas_zero_snr", "predict_x0", "solver_p", "disable_corrector"),
        *("shift_terminal", "predictor_order", "corrector_order", "tau_func", "noise_sampler_seed"),
    )
)
"""Options of any scheduler.  A file may contain options of schedulers used earlier, which diffusers ignores."""
