"""Scheduler files: those that diffusers writes, those of published checkpoints, and those without a step table."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import diffusers
import pytest

from benchmarks.checkpoints.schedulers import CLASSES as CLASS_OF
from benchmarks.checkpoints.schedulers import options
from mobile_diffusion.config import SOLVERS, ScheduleConfig
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.scheduler import read_pipeline_schedule, read_schedule, read_schedule_file
from mobile_diffusion.formats.scheduler_classes import CLASSES
from mobile_diffusion.schedule import step_table

LATENT: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
"""The process of Stable Diffusion."""
TABLE: dict[str, dict[str, Any]] = {
    **{name: {"clip_sample": False} for name in ("DDIMScheduler", "DDIMParallelScheduler")},
    **{name: {"clip_sample": False} for name in ("DDPMScheduler", "DDPMParallelScheduler")},
    "PNDMScheduler": {"skip_prk_steps": True},
}
"""What diffusers' defaults lack to have a step table."""
DPM: dict[str, dict[str, Any]] = {
    "dpm-solver": {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
    "sde-dpm-solver": {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"},
    "sde-dpm-solver++": {"algorithm_type": "sde-dpmsolver++"},
}
"""What distinguishes the solvers of one class."""


def needed(solver: str) -> dict[str, Any]:
    """The options with which diffusers' class is our solver."""
    return {**TABLE.get(CLASS_OF[solver], {}), **DPM.get(solver, {})}


SD15 = {
    "_class_name": "PNDMScheduler",
    "_diffusers_version": "0.7.0.dev0",
    **LATENT,
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}
SD21 = {
    "_class_name": "DDIMScheduler",
    "_diffusers_version": "0.8.0",
    **LATENT,
    "clip_sample": False,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
}
TURBO = {
    "_class_name": "EulerDiscreteScheduler",
    **LATENT,
    "interpolation_type": "linear",
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "sample_max_value": 1.0,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "timestep_spacing": "trailing",
    "trained_betas": None,
    "use_karras_sigmas": False,
}
LCM = {
    "_class_name": "LCMScheduler",
    "_diffusers_version": "0.24.0",
    **LATENT,
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "dynamic_thresholding_ratio": 0.995,
    "num_train_timesteps": 1000,
    "original_inference_steps": 50,
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
    "sample_max_value": 1.0,
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "thresholding": False,
    "timestep_scaling": 10.0,
    "timestep_spacing": "leading",
    "trained_betas": None,
}
DEIS = {
    "_class_name": "DEISMultistepScheduler",
    "_diffusers_version": "0.26.3",
    **LATENT,
    "algorithm_type": "deis",
    "lower_order_final": True,
    "num_train_timesteps": 1000,
    "prediction_type": "epsilon",
    "solver_order": 2,
    "solver_type": "logrho",
    "steps_offset": 1,
    "thresholding": False,
    "trained_betas": None,
    "use_karras_sigmas": False,
}
PUBLISHED = [
    (SD15, {"solver": "pndm", "spacing": "leading", "offset": 1, "final": "first"}),
    (SD21, {"solver": "ddim", "spacing": "leading", "offset": 1, "final": "first", "prediction": "v"}),
    (TURBO, {"solver": "euler", "spacing": "trailing", "offset": 1, "final": "clean"}),
    (LCM, {"solver": "lcm", "spacing": "leading", "original_steps": 50, "steps": 4}),
]


def with_options(base: dict[str, Any], **changes: object) -> dict[str, Any]:
    return {**base, **changes}


def written(kind: str, folder: Path, **changes: Any) -> tuple[Path, Any]:
    """A file as diffusers writes it, and the scheduler that it is of."""
    scheduler = getattr(diffusers, kind)(**{**LATENT, **TABLE.get(kind, {}), **changes})
    scheduler.save_pretrained(folder)
    return folder / "scheduler_config.json", scheduler


def assert_same(config: ScheduleConfig, scheduler: Any) -> None:
    """Every option that diffusers' class gets for our configuration is the one it has."""
    expected = options(config)
    assert expected == {name: scheduler.config[name] for name in expected}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"timestep_spacing": "trailing", "steps_offset": 1, "num_train_timesteps": 500},
        {"beta_schedule": "linear", "prediction_type": "v_prediction", "timestep_spacing": "linspace"},
        {"beta_schedule": "squaredcos_cap_v2", "beta_start": 0.001},
    ],
)
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_file_of_diffusers_gives_its_options_back(solver: str, changes: dict[str, Any], tmp_path: Path) -> None:
    file, scheduler = written(CLASS_OF[solver], tmp_path, **{**needed(solver), **changes})
    config = read_schedule_file(file)
    assert config.solver == solver
    assert_same(config, scheduler)


@pytest.mark.parametrize(
    ("solver", "changes"),
    [
        ("ddim", {"set_alpha_to_one": False, "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}),
        ("pndm", {"set_alpha_to_one": True}),
        ("dpm-solver++", {"use_karras_sigmas": True, "lower_order_final": False, "final_sigmas_type": "sigma_min"}),
        ("dpm-solver++", {"euler_at_final": True, "rescale_betas_zero_snr": True, "prediction_type": "sample"}),
        ("euler", {"use_karras_sigmas": True, "final_sigmas_type": "sigma_min"}),
        ("lcm", {"original_inference_steps": 30, "set_alpha_to_one": False}),
        ("dpm-solver++", {"solver_order": 3, "solver_type": "heun", "use_lu_lambdas": True}),
        ("dpm-solver++", {"euler_at_final": True, "final_sigmas_type": "sigma_min", "use_exponential_sigmas": True}),
        ("dpm-solver++", {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 3.0}),
        ("dpm-solver", {"solver_order": 1, "use_beta_sigmas": True}),
        ("sde-dpm-solver", {"solver_type": "heun", "use_karras_sigmas": True}),
        ("sde-dpm-solver++", {"solver_order": 3, "rescale_betas_zero_snr": True}),
        ("euler", {"use_beta_sigmas": True}),
        ("deis", {"solver_order": 3, "use_exponential_sigmas": True, "lower_order_final": False}),
        ("unipc", {"solver_order": 3, "solver_type": "bh1", "disable_corrector": [0, 2], "use_karras_sigmas": True}),
        ("unipc", {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 2.5}),
        ("unipc", {"lower_order_final": False, "final_sigmas_type": "sigma_min"}),
        ("lms", {"use_karras_sigmas": True}),
        ("heun", {"use_exponential_sigmas": True, "prediction_type": "sample"}),
        ("kdpm2", {"use_beta_sigmas": True}),
        ("kdpm2-ancestral", {"use_karras_sigmas": True, "prediction_type": "v_prediction"}),
        ("ddpm", {"variance_type": "fixed_large", "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}),
        ("tcd", {"original_inference_steps": 40}),
    ],
)
def test_the_options_of_each_solver_are_read(solver: str, changes: dict[str, Any], tmp_path: Path) -> None:
    file, scheduler = written(CLASS_OF[solver], tmp_path, **{**needed(solver), **changes})
    assert_same(read_schedule_file(file), scheduler)


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_absent_option_is_what_it_is_in_diffusers(solver: str) -> None:
    kind = CLASS_OF[solver]
    values = {"_class_name": kind, **needed(solver)}
    assert_same(read_schedule(values), getattr(diffusers, kind).from_config(values))


@pytest.mark.parametrize(("values", "expected"), PUBLISHED, ids=["sd-1.5", "sd-2.1", "turbo", "lcm"])
def test_files_of_published_checkpoints(values: dict[str, Any], expected: dict[str, object]) -> None:
    config = read_schedule(values)
    common = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "train_steps": 1000}
    for name, value in {**common, **expected}.items():
        assert getattr(config, name) == value, name
    assert_same(config, getattr(diffusers, values["_class_name"]).from_config(values))


@pytest.mark.parametrize("solver", [name for name in SOLVERS if name != "ddim"])
@pytest.mark.parametrize("values", [SD15, SD21, TURBO, LCM], ids=["sd-1.5", "sd-2.1", "turbo", "lcm"])
def test_another_solver_is_what_diffusers_makes_of_the_file(values: dict[str, Any], solver: str) -> None:
    kind = CLASS_OF[solver]
    assert_same(read_schedule(values, solver=solver), getattr(diffusers, kind).from_config(values, **needed(solver)))


@pytest.mark.parametrize("kind", [name for name, kind in CLASSES.items() if kind.lack])
def test_a_class_without_a_table_names_a_solver_that_reads_its_process(kind: str) -> None:
    values = {"_class_name": kind, **LATENT, "prediction_type": "v_prediction", "clip_sample": True}
    message = rf"{kind} is not supported, because it .*--solver {CLASSES[kind].solver}"
    with pytest.raises(CheckpointError, match=message):
        read_schedule(values)
    for solver in SOLVERS:
        config = read_schedule(values, solver=solver)
        assert (config.solver, config.prediction, config.beta_schedule) == (solver, "v", "scaled_linear")


@pytest.mark.parametrize("kind", [name for name, kind in CLASSES.items() if not (kind.flow or "SDE" in name)])
def test_betas_that_a_file_does_not_state_are_those_of_its_class(kind: str) -> None:
    """DPMSolverSDEScheduler is not in diffusers without torchsde."""
    theirs = getattr(diffusers, kind)().config
    values = {"_class_name": kind, **TABLE.get(kind, {})}
    config = read_schedule(values, solver="euler")
    assert (config.beta_start, config.beta_end, config.beta_schedule) == (
        theirs.beta_start,
        theirs.beta_end,
        theirs.beta_schedule,
    )


def test_one_step_of_a_distilled_model_begins_with_the_last_timestep() -> None:
    table = step_table(read_schedule(DEIS, solver="dpm-solver++"), 1)
    assert (table.timesteps, table.inputs, table.noise) == ((999.0,), (1.0,), (0.0,))
    ((row, _),) = table.update
    level = table.alphas[0], table.sigmas[0]
    assert row == pytest.approx((1 / level[0], 0.0, -level[1] / level[0]))  # the prediction of the clean latents


@pytest.mark.parametrize(
    ("solver", "changes", "said"),
    [
        ("ddim", {"clip_sample": True}, "'clip_sample': expected False, got True; clipping is not linear; set it"),
        ("ddim", {"thresholding": True}, "'thresholding': expected False, got True; it is not linear"),
        ("pndm", {"skip_prk_steps": False}, "'skip_prk_steps': expected True, got False; Runge-Kutta"),
        ("dpm-solver++", {"solver_order": 4}, "order: expected 1 to 3 for solver 'dpm-solver\\+\\+', got 4"),
        ("dpm-solver++", {"solver_order": None}, "'solver_order': expected a whole number, got None"),
        ("dpm-solver++", {"algorithm_type": "dpm"}, "'algorithm_type': expected 'dpmsolver\\+\\+' or"),
        ("dpm-solver++", {"algorithm_type": "dpmsolver"}, "'final_sigmas_type': expected 'sigma_min' with this algo"),
        (
            "dpm-solver++",
            {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min", "solver_order": 3},
            "1 to 2",
        ),
        ("dpm-solver++", {"solver_type": "runge"}, "'solver_type'"),
        ("dpm-solver++", {"use_beta_sigmas": True, "use_lu_lambdas": True}, "beta is True; expected at most one of"),
        ("dpm-solver++", {"use_flow_sigmas": True}, "'use_flow_sigmas': expected False, got True.*belong together"),
        ("dpm-solver++", {"use_dynamic_shifting": True}, "'use_dynamic_shifting': .*the picture's size"),
        ("dpm-solver++", {"lambda_min_clipped": -5.1}, "'lambda_min_clipped': expected -inf, got -5.1"),
        ("dpm-solver++", {"variance_type": "learned_range"}, "'variance_type': expected None"),
        ("dpm-solver++", {"prediction_type": "flow_prediction"}, "'use_flow_sigmas': expected True, got False"),
        ("ddim", {"prediction_type": "flow_prediction"}, "prediction: 'flow' is not defined for solver 'ddim'; choose"),
        ("ddim", {"prediction_type": "noise"}, "'prediction_type': expected 'epsilon' or"),
        ("unipc", {"lower_order_final": False}, "lower_order_final: expected true"),
        ("unipc", {"predict_x0": False}, "'predict_x0': expected True, got False"),
        ("unipc", {"disable_corrector": [-1]}, "'disable_corrector': expected a list of steps"),
        ("unipc", {"disable_corrector": None}, "'disable_corrector': expected a list of steps"),
        ("unipc", {"solver_order": 5}, "order is 5; expected 1 to 4"),
        ("deis", {"solver_order": 4}, "order: expected 1 to 3 for solver 'deis', got 4"),
        ("ddpm", {"variance_type": "learned"}, "'variance_type': expected 'fixed_small' or"),
        ("ddpm", {"clip_sample": True}, "'clip_sample'"),
        ("heun", {"clip_sample": True}, "'clip_sample'"),
        ("kdpm2", {"prediction_type": "sample"}, "'sample' is not defined for solver 'kdpm2'"),
        ("lms", {"use_karras_sigmas": True, "use_beta_sigmas": True}, "karras is True; expected at most one"),
        ("euler", {"interpolation_type": "log_linear"}, "'interpolation_type': expected 'linear'"),
        ("euler", {"timestep_type": "continuous"}, "'timestep_type': expected 'discrete'"),
        ("euler", {"sigma_max": 10.0}, "'sigma_max': expected None, got 10.0"),
        ("lcm", {"timestep_scaling": 5.0}, "'timestep_scaling': expected 10.0, got 5.0"),
        ("lcm", {"clip_sample": True}, "'clip_sample'"),
        ("ddim", {"trained_betas": [0.1, 0.2]}, "'trained_betas': expected None"),
        ("ddim", {"beta_schedule": "laplace"}, "'beta_schedule': expected 'linear' or 'scaled_linear' or"),
        ("ddim", {"timestep_spacing": "cubic"}, "'timestep_spacing': expected 'leading' or 'linspace' or"),
        ("ddim", {"num_train_timesteps": "1000"}, "'num_train_timesteps': expected a whole number"),
        ("ddim", {"beta_start": None}, "'beta_start': expected a number, got None"),
        ("ddim", {"beta_start": 0.5}, "beta_end"),
        ("ddim", {"set_alpha_to_one": 1}, "'set_alpha_to_one': expected true or false, got 1"),
        ("ddim", {"clip_sample": 0}, "'clip_sample': expected False, got 0"),
        ("euler", {"use_karras_sigmas": "yes"}, "'use_karras_sigmas': expected"),
        ("euler", {"use_karras_sigmas": [1]}, "'use_karras_sigmas': expected"),
        ("ddim", {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}, "not supported at pure noise"),
        ("pndm", {"prediction_type": "sample"}, "'sample' is not defined for solver 'pndm'"),
        ("euler", {"wobble": 3}, "'wobble': expected no such option, got 3"),
    ],
)
def test_what_has_no_table_is_named(solver: str, changes: dict[str, Any], said: str) -> None:
    kind = CLASS_OF[solver]
    values = {"_class_name": kind, **LATENT, **TABLE.get(kind, {}), **changes}
    with pytest.raises(CheckpointError, match=rf"^there\.json: .*{said}"):
        read_schedule(values, Path("there.json"))


def test_ddim_that_does_not_say_whether_it_clips_does() -> None:
    with pytest.raises(CheckpointError, match="'clip_sample': expected False, got True"):
        read_schedule({"_class_name": "DDIMScheduler", **LATENT})


@pytest.mark.parametrize("name", [None, 3, "MagicScheduler", "CogVideoXDDIMScheduler"])
@pytest.mark.parametrize("solver", [None, "ddim"])
def test_an_unknown_class_is_refused_with_any_solver(name: object, solver: str | None) -> None:
    with pytest.raises(CheckpointError, match="_class_name: expected one of DDIMScheduler, PNDMScheduler, .*got"):
        read_schedule(with_options(SD15, _class_name=name), solver=solver)


FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}


def test_flow_matching_is_read() -> None:
    config = read_schedule({**FLOW, "stochastic_sampling": True, "use_beta_sigmas": True, "base_shift": 0.5})
    assert (config.solver, config.prediction, config.shift, config.variant) == ("euler", "flow", 3.0, "stochastic")
    assert config.beta and read_schedule(FLOW).variant == ""
    other = read_schedule(FLOW, solver="unipc")
    assert (other.solver, other.prediction, other.shift) == ("unipc", "flow", 3.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"_class_name": "FlowMatchHeunDiscreteScheduler"}, "only FlowMatchEulerDiscreteScheduler is"),
        ({"use_dynamic_shifting": True}, "'use_dynamic_shifting': .*depends on the picture's size"),
        ({"shift": -1.0}, "shift is -1.0; expected a positive number"),
        ({"shift": None}, "'shift': expected a number, got None"),
        ({"invert_sigmas": True}, "'invert_sigmas': expected False"),
        ({"shift_terminal": 0.1}, "'shift_terminal': expected None or False, got 0.1"),
    ],
)
def test_what_a_flow_cannot_be_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(CheckpointError, match=said):
        read_schedule({**FLOW, **changes})


def test_an_unknown_solver_is_refused() -> None:
    with pytest.raises(ConfigError, match="solver: expected one of ddim, .*got 'magic'"):
        read_schedule(SD15, solver="magic")


def test_a_pipeline_changes_options_of_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "scheduler_config.json"
    file.write_text(json.dumps(with_options(SD15, steps_offset=0)))
    with caplog.at_level("INFO", logger="mobile_diffusion"):
        assert read_pipeline_schedule(file, "PNDMScheduler", {"steps_offset": 1}).offset == 1
    assert "steps_offset 0 is replaced by 1" in caplog.text and "read as" not in caplog.text
    assert read_pipeline_schedule(file, "PNDMScheduler", {}).offset == 0


def test_the_class_in_the_index_is_the_one_that_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "scheduler_config.json"
    file.write_text(json.dumps(SD15))
    config = read_pipeline_schedule(file, "DDIMScheduler", {"clip_sample": False})
    assert config.solver == "ddim" and "read as DDIMScheduler, the class in model_index.json" in caplog.text
    with pytest.raises(CheckpointError, match="_class_name: expected one of DDIMScheduler, .*got 'Magic'"):
        read_pipeline_schedule(file, "Magic", {})


def test_a_file_may_hold_infinity_but_not_nan(tmp_path: Path) -> None:
    file = tmp_path / "scheduler_config.json"
    values = {"_class_name": "DPMSolverMultistepScheduler", **LATENT, "lambda_min_clipped": -math.inf}
    file.write_text(json.dumps(values))
    assert read_schedule_file(file).solver == "dpm-solver++"
    file.write_text(json.dumps(with_options(values, beta_start=math.nan)))
    with pytest.raises(CheckpointError, match="NaN"):
        read_schedule_file(file)
