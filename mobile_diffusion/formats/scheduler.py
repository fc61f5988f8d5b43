"""Reads a diffusers scheduler_config.json into a `ScheduleConfig`.

As in diffusers, the scheduler's class decides which options apply and what their defaults are.  An option that
changes the result and is not supported is an error, and so is one that no scheduler has.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from mobile_diffusion.config import SOLVERS, ScheduleConfig
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.json_options import JsonOptions
from mobile_diffusion.formats.scheduler_classes import (
    ALPHA_TO_ONE,
    BETA_SCHEDULES,
    CLASSES,
    CURVE_OPTIONS,
    DISTILLED,
    DPM_ALGORITHMS,
    DPM_SOLVERS,
    ELSEWHERE,
    FINAL_SIGMAS,
    FLOW_PREFIX,
    LEADING,
    LIMITS,
    ORDERED,
    PREDICTIONS,
    RESCALED,
    VARIANTS,
    WITHOUT_EFFECT,
    SchedulerClass,
)
from mobile_diffusion.quoting import quoted, shortened
from mobile_diffusion.schedule import step_table
from mobile_diffusion.schedule.solvers import TABLES
from mobile_diffusion.strict_json import read_object

logger = logging.getLogger(__name__)

SCHEDULER_FILE = Path("scheduler_config.json")
STEPS, LCM_STEPS = 20, 4
"""Default number of steps, because a scheduler's file does not contain one; LCM_STEPS is for distilled solvers."""
SPACINGS = {"leading": "leading", "linspace": "linspace", "trailing": "trailing"}


def read_schedule_file(file: Path, solver: str | None = None, prediction: str | None = None) -> ScheduleConfig:
    """Read a scheduler_config.json as `read_schedule` does; its options may be infinite."""
    return read_schedule(read_object(file, infinite=True), file, solver, prediction)


def read_pipeline_schedule(
    file: Path, kind: str, changes: Mapping[str, object], solver: str | None = None, prediction: str | None = None
) -> ScheduleConfig:
    """Read a scheduler_config.json as a pipeline does: as options of the class `kind`, with `changes` made to them.

    `kind` is the class in model_index.json; as in diffusers, it counts where the file states another one.
    """
    values = read_object(file, infinite=True)
    if values.get("_class_name") != kind:
        logger.warning("%s: read as %s, the class in model_index.json, not %s", file, kind, values.get("_class_name"))
    for name, value in changes.items():
        if values.get(name, value) != value:
            logger.info("%s: %s %r is replaced by %r, as in diffusers' pipeline", file, name, values[name], value)
    return read_schedule({**values, **changes, "_class_name": kind}, file, solver, prediction)


def read_schedule(
    values: Mapping[str, Any], file: Path = SCHEDULER_FILE, solver: str | None = None, prediction: str | None = None
) -> ScheduleConfig:
    """Read the schedule from the values of a scheduler_config.json; error messages begin with `file`.

    With `solver`, the diffusion process and that solver's options come from the file, and options of the file's own
    scheduler are ignored, as when diffusers builds another scheduler from a configuration.  `prediction` is what the
    network predicts, for a file that does not state it.  Raises CheckpointError for a class or an option that is
    unknown or not supported, ConfigError for an unknown `solver`, and for a `prediction` that is unknown or not that
    of the file.
    """
    kind = _class_of(values.get("_class_name"), file, solver)
    options = JsonOptions(file, values)
    own = solver or _solver(options, kind)
    process = _process(options, kind, own, prediction)
    sampler = _sampler(options, own, strictly=solver is None) | _flow(options, kind, own, process["prediction"])
    offset = options.whole("steps_offset", 0)
    options.ignore(*WITHOUT_EFFECT, *ELSEWHERE)
    options.finish()
    steps = min(LCM_STEPS, sampler["original_steps"]) if own in DISTILLED else min(STEPS, process["train_steps"])
    try:
        config = ScheduleConfig(**process, **sampler, offset=offset, steps=steps)
        step_table(config)
    except ConfigError as error:
        raise CheckpointError(f"{file}: {error}") from error
    return config


def _class_of(name: object, file: Path, solver: str | None) -> SchedulerClass:
    """Look up the file's scheduler class.

    Raises CheckpointError when the class is unknown, or when it is not supported and no `solver` replaces it.
    """
    if solver is not None and solver not in SOLVERS:
        raise ConfigError(f"solver: expected one of {', '.join(SOLVERS)}, got {quoted(solver)}")
    if isinstance(name, str) and name.startswith(FLOW_PREFIX) and name not in CLASSES:
        raise CheckpointError(
            f"{file}: {shortened(name)} is not supported; of flow matching, only FlowMatchEulerDiscreteScheduler is"
        )
    if not isinstance(name, str) or name not in CLASSES:
        known = ", ".join(name for name, kind in CLASSES.items() if not kind.lack)
        raise CheckpointError(
            f"{file}: _class_name: expected one of {known}, got {quoted(name)}; save it from one of these"
        )
    kind = CLASSES[name]
    if kind.lack and solver is None:
        raise CheckpointError(
            f"{file}: {name} is not supported, because it {kind.lack}; choose another solver, such as "
            f"--solver {kind.solver}"
        )
    return kind


def _process(options: JsonOptions, kind: SchedulerClass, solver: str, prediction: str | None) -> dict[str, Any]:
    """Read the options of the diffusion process that the model was trained with."""
    start, end, schedule = kind.betas
    options.require({"trained_betas": (None,)}, "betas are computed from a formula; give the model's formula")
    read = kind.solver in RESCALED or solver in RESCALED
    return {
        "train_steps": options.whole("num_train_timesteps", 1000),
        "beta_schedule": _one_of(options, "beta_schedule", schedule, BETA_SCHEDULES),
        "beta_start": float(options.number("beta_start", start)),
        "beta_end": float(options.number("beta_end", end)),
        "prediction": "flow" if kind.flow else _prediction(options, prediction),
        "zero_terminal_snr": options.flag("rescale_betas_zero_snr", False) if read and not kind.flow else False,
        "solver": solver,
    }


def _solver(options: JsonOptions, kind: SchedulerClass) -> str:
    """The solver of the file's class, and for DPM-Solver of its algorithm."""
    if kind.solver not in DPM_SOLVERS:
        return kind.solver
    return cast(str, _one_of(options, "algorithm_type", "dpmsolver++", DPM_ALGORITHMS))


def _prediction(options: JsonOptions, wanted: str | None) -> str:
    """Read what the network predicts; `wanted` is used if the file does not state it.

    Files from before diffusers 0.9 state it by predict_epsilon: if that is false, the network predicts the sample.
    diffusers 0.10.2 reads it so; later versions ignore the option.
    """
    names = {ours: theirs for theirs, ours in PREDICTIONS.items()}
    if wanted is not None and wanted not in names:
        raise ConfigError(f"option prediction: expected one of {', '.join(names)}, got {quoted(wanted)}")
    default = names[wanted or "epsilon"] if options.flag("predict_epsilon", True) else "sample"
    found = cast(str, _one_of(options, "prediction_type", default, PREDICTIONS))
    if wanted not in (None, found):
        raise ConfigError(f"option prediction: expected {found}, as {options.file} states, got {wanted}; leave it out")
    return found


def _sampler(options: JsonOptions, solver: str, strictly: bool) -> dict[str, Any]:
    """Read the options of the solver; with `strictly`, values that are not supported raise CheckpointError."""
    default = "leading" if solver in LEADING else "linspace"
    result = {"spacing": _one_of(options, "timestep_spacing", default, SPACINGS)}
    result["final"] = _final(options, solver, strictly)
    for curve in TABLES[solver].curves:
        answer = _one_of(options, CURVE_OPTIONS[curve], False, {None: False, False: False, True: True})
        result[curve] = bool(answer)
    if solver in ORDERED:
        result["order"] = options.whole("solver_order", 2)
        result["lower_order_final"] = options.flag("lower_order_final", True)
    if solver in DPM_SOLVERS:
        result["euler_at_final"] = options.flag("euler_at_final", False)
    if solver in VARIANTS:
        name = "variance_type" if solver == "ddpm" else "solver_type"
        result["variant"] = _one_of(options, name, next(iter(VARIANTS[solver])), VARIANTS[solver])
    if solver == "unipc":
        result["uncorrected"] = tuple(_uncorrected(options))
    if solver in DISTILLED:
        result["original_steps"] = options.whole("original_inference_steps", 50)
    for limit in LIMITS.get(solver, ()) if strictly else ():
        value = options.value(limit.name, limit.default)
        if not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in limit.accepted):
            expected = " or ".join(repr(one) for one in limit.accepted)
            raise options.wrong(limit.name, expected, value, limit.hint)
    return result


def _uncorrected(options: JsonOptions) -> list[int]:
    """Read the steps that unipc does not correct."""
    value = options.value("disable_corrector", [])
    if not isinstance(value, list) or not all(type(step) is int and step >= 0 for step in value):
        raise options.wrong("disable_corrector", "a list of steps", value)
    return value


def _flow(options: JsonOptions, kind: SchedulerClass, solver: str, prediction: str) -> dict[str, Any]:
    """Read the options of flow matching; what the network predicts and the noise levels must be of the same kind."""
    if kind.flow:
        stochastic = options.flag("stochastic_sampling", False) and solver == "euler"
        variant = {"variant": "stochastic"} if stochastic else {}
        return {"shift": float(options.number("shift", 1.0)), **variant}
    flows = solver in ORDERED and options.flag("use_flow_sigmas", False)
    if solver in ORDERED and flows != (prediction == "flow"):
        wanted = prediction == "flow"
        hint = "'flow_prediction' and flow sigmas belong together; correct the file"
        raise options.wrong("use_flow_sigmas", str(wanted), flows, hint)
    return {"shift": float(options.number("flow_shift", 1.0))} if flows else {}


def _final(options: JsonOptions, solver: str, strictly: bool) -> str:
    """Read where the last step ends: at "clean" latents or at the "first" noise level."""
    if solver in ALPHA_TO_ONE:
        return "clean" if options.flag("set_alpha_to_one", ALPHA_TO_ONE[solver]) else "first"
    if solver not in FINAL_SIGMAS:
        return "clean"
    found = cast(str, _one_of(options, "final_sigmas_type", "zero", {"zero": "clean", "sigma_min": "first"}))
    noisy = solver in DPM_SOLVERS and not solver.endswith("++")  # these cannot reach clean latents
    if noisy and strictly and found == "clean":
        raise options.wrong("final_sigmas_type", "'sigma_min' with this algorithm_type", "zero")
    return "first" if noisy else found


def _one_of(options: JsonOptions, name: str, default: object, choices: Mapping[Any, object]) -> object:
    """Read an option and translate its value by `choices`; raise CheckpointError for any other value."""
    value = options.value(name, default)
    if not isinstance(value, str | bool | None) or value not in choices:
        raise options.wrong(name, " or ".join(repr(choice) for choice in choices), value)
    return choices[value]
