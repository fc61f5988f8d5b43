"""Tables for scheduler.py: diffusers' schedulers, which of them are supported, their defaults and restrictions."""

from __future__ import annotations

import math
from dataclasses import dataclass

BETA_SCHEDULES = {"linear": "linear", "scaled_linear": "scaled_linear", "squaredcos_cap_v2": "cosine"}
PREDICTIONS = {"epsilon": "epsilon", "sample": "sample", "v_prediction": "v", "flow_prediction": "flow"}

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
    flow: bool = False
    """Whether it is for a flow, whose file has no betas."""


CLASSES = {
    "DDIMScheduler": SchedulerClass("ddim"),
    "PNDMScheduler": SchedulerClass("pndm"),
    "DPMSolverMultistepScheduler": SchedulerClass("dpm-solver++"),
    "EulerDiscreteScheduler": SchedulerClass("euler"),
    "LCMScheduler": SchedulerClass("lcm", betas=LATENT_BETAS),
    "DDPMScheduler": SchedulerClass("ddpm"),
    "DDIMParallelScheduler": SchedulerClass("ddim"),
    "DDPMParallelScheduler": SchedulerClass("ddpm"),
    "DEISMultistepScheduler": SchedulerClass("deis"),
    "UniPCMultistepScheduler": SchedulerClass("unipc"),
    "LMSDiscreteScheduler": SchedulerClass("lms"),
    "EulerAncestralDiscreteScheduler": SchedulerClass("euler-ancestral"),
    "HeunDiscreteScheduler": SchedulerClass("heun", betas=NARROW_BETAS),
    "KDPM2DiscreteScheduler": SchedulerClass("kdpm2", betas=NARROW_BETAS),
    "KDPM2AncestralDiscreteScheduler": SchedulerClass("kdpm2-ancestral", betas=NARROW_BETAS),
    "TCDScheduler": SchedulerClass("tcd", betas=LATENT_BETAS),
    "FlowMatchEulerDiscreteScheduler": SchedulerClass("euler", betas=LATENT_BETAS, flow=True),
    "DPMSolverSinglestepScheduler": SchedulerClass("dpm-solver++", "forgets its predictions inside a step"),
    "DPMSolverSDEScheduler": SchedulerClass(
        "sde-dpm-solver++", "draws a Brownian path of which two steps share a part", NARROW_BETAS
    ),
    "SASolverScheduler": SchedulerClass("unipc", "corrects with noise that it drew earlier"),
}
FLOW_PREFIX = "FlowMatch"
"""Prefix of the names of flow-matching schedulers; only Euler's is supported."""
DPM_ALGORITHMS = {
    "dpmsolver++": "dpm-solver++",
    "dpmsolver": "dpm-solver",
    "sde-dpmsolver++": "sde-dpm-solver++",
    "sde-dpmsolver": "sde-dpm-solver",
    "deis": "dpm-solver++",
}
"""algorithm_type of DPMSolverMultistepScheduler -> solver; diffusers reads "deis" as "dpmsolver++"."""
DPM_SOLVERS = tuple(dict.fromkeys(DPM_ALGORITHMS.values()))

LEADING = ("ddim", "pndm", "lcm", "ddpm", "tcd")
"""Solvers whose default timestep_spacing is "leading"; that of the others is "linspace"."""
ALPHA_TO_ONE = {"ddim": True, "pndm": False}
"""Default set_alpha_to_one per solver; the other solvers do not read it."""
FINAL_SIGMAS = (*DPM_SOLVERS, "unipc", "euler")
"""Solvers that read final_sigmas_type."""
ORDERED = (*DPM_SOLVERS, "deis", "unipc")
"""Solvers that read solver_order, lower_order_final, use_flow_sigmas and flow_shift."""
DISTILLED = ("lcm", "tcd")
"""Solvers that read original_inference_steps."""
RESCALED = (*DPM_SOLVERS, "ddim", "ddpm", "unipc", "euler", "euler-ancestral", "lcm", "tcd")
"""Solvers whose scheduler reads rescale_betas_zero_snr."""
CURVE_OPTIONS = {
    "karras": "use_karras_sigmas",
    "exponential": "use_exponential_sigmas",
    "beta": "use_beta_sigmas",
    "lu": "use_lu_lambdas",
}
"""Curve of the noise levels -> the option that chooses it."""
VARIANTS: dict[str, dict[object, str]] = {
    **{name: {"midpoint": "", "heun": "heun", "logrho": "", "bh1": "", "bh2": ""} for name in DPM_SOLVERS},
    "unipc": {"bh2": "", "bh1": "bh1", "midpoint": "", "heun": "", "logrho": ""},
    "ddpm": {"fixed_small": "", "fixed_small_log": "", "fixed_large": "fixed_large", None: ""},
}
"""Per solver, the values of solver_type or variance_type -> `variant`; diffusers reads those of other schedulers as the
default."""


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


_THRESHOLDING = SupportedValues(
    "thresholding", False, (False,), "it is not linear and not meant for latents; set it to false"
)
_CLIP_HINT = "clipping is not linear; set it to false, as StableDiffusionPipeline does"
_RANGE = "only the range of the training steps is known; set it to null"
_DYNAMIC = SupportedValues(
    *("use_dynamic_shifting", False, (False, None)),
    "it depends on the picture's size; set it to false, and the shift to that of your size",
)
_SIGMAS = (SupportedValues("sigma_min", None, (None,), _RANGE), SupportedValues("sigma_max", None, (None,), _RANGE))
_TERMINAL = SupportedValues("shift_terminal", None, (None, False), "it is for videos; set it to null")
_DPM = (
    SupportedValues("lambda_min_clipped", -math.inf, (-math.inf,), "set it to -Infinity or choose --solver ddim"),
    SupportedValues("variance_type", None, (None,), "the variance is not read; set it to null"),
    *(_DYNAMIC, _THRESHOLDING),
)

LIMITS: dict[str, tuple[SupportedValues, ...]] = {
    "ddim": (SupportedValues("clip_sample", True, (False,), _CLIP_HINT), _THRESHOLDING),
    "ddpm": (SupportedValues("clip_sample", True, (False,), _CLIP_HINT), _THRESHOLDING),
    "pndm": (
        SupportedValues(
            "skip_prk_steps",
            False,
            (True,),
            "Runge-Kutta steps are not supported; set it to true or use --solver ddim",
        ),
    ),
    **dict.fromkeys(DPM_SOLVERS, _DPM),
    "deis": (_DYNAMIC, _THRESHOLDING),
    "unipc": (
        SupportedValues("predict_x0", True, (True,), "set it to true, or choose --solver dpm-solver"),
        SupportedValues("solver_p", None, (None,), "another scheduler inside is not read; set it to null"),
        *(_DYNAMIC, _THRESHOLDING, _TERMINAL, *_SIGMAS),
    ),
    "euler": (
        SupportedValues("interpolation_type", "linear", ("linear",), "set it to 'linear'"),
        SupportedValues(
            "timestep_type", "discrete", ("discrete",), "set it to 'discrete' if the model counts whole timesteps"
        ),
        SupportedValues("invert_sigmas", False, (False,), "it is for flows that begin with noise 0; set it to false"),
        *(_DYNAMIC, _TERMINAL, *_SIGMAS),
    ),
    "heun": (SupportedValues("clip_sample", False, (False,), _CLIP_HINT),),
    "lcm": (
        SupportedValues("clip_sample", False, (False,), _CLIP_HINT),
        SupportedValues("timestep_scaling", 10.0, (10.0,), "set it to 10.0"),
        _THRESHOLDING,
    ),
}
"""Options with restrictions, per solver."""

WITHOUT_EFFECT = frozenset(
    (
        *("dynamic_thresholding_ratio", "sample_max_value", "clip_sample_range", "time_shift_type"),
        *("base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len", "tensor_format", "timestep_values"),
    )
)
"""Options that have an effect only together with another option, which is not supported, and two of 2022 that named
the array library and an unused list."""
ELSEWHERE = frozenset(
    (
        *(limit.name for limits in LIMITS.values() for limit in limits),
        *("set_alpha_to_one", "final_sigmas_type", "lower_order_final", "euler_at_final", "solver_order"),
        *(*CURVE_OPTIONS.values(), "use_flow_sigmas", "flow_shift", "shift", "algorithm_type", "solver_type"),
        *("original_inference_steps", "rescale_betas_zero_snr", "disable_corrector", "stochastic_sampling"),
        *("predictor_order", "corrector_order", "tau_func", "noise_sampler_seed"),
    )
)
"""Options of any scheduler.  A file may contain options of schedulers used earlier, which diffusers ignores."""
