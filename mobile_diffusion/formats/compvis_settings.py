"""Reads the settings of a single file that its tensors do not show: prediction type, schedule and picture size.

They come from an LDM configuration of the same name beside the file (`model.yaml` beside `model.safetensors`) and
from the file's metadata (ModelSpec, a `v_pred` or `ztsnr` marker).  Without them, Stable Diffusion 1 is taken to
predict epsilon, as every published one does.  Stable Diffusion 2 exists in both kinds, so the user must say which.
"""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from mobile_diffusion.config import PREDICTIONS, ScheduleConfig
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.plain_yaml import read_yaml
from mobile_diffusion.formats.single_text import Family
from mobile_diffusion.quoting import quoted, shortened
from mobile_diffusion.schedule import betas

PARAMETERIZATIONS = {"eps": "epsilon", "v": "v", "x0": "sample"}
BETA_TOLERANCE = 1e-3
"""Relative tolerance of betas in float32; those in a coarser type may be wrong by its precision."""


@dataclass(frozen=True)
class CompVisSettings:
    """Settings of a single file that are not weights."""

    schedule: ScheduleConfig
    scaling_factor: float
    height: int
    width: int
    licence: str
    files: tuple[Path, ...]
    """Files that the settings were read from, besides the single file itself."""


def read_settings(file: Path, names: set[str], family: Family, prediction: str | None) -> CompVisSettings:
    """Read the settings of a single file whose tensors are `names`; the user's `prediction` overrides the file's.

    Raises CheckpointError when the metadata and the configuration disagree, when an option is not supported, or when
    the stored betas are not those of the schedule.  Raises ConfigError when the prediction is unknown or invalid.
    """
    with safe_open(file, framework="pt") as stored:
        notes: dict[str, str] = stored.metadata() or {}
        written = stored.get_tensor("betas") if "betas" in names else None
    configuration = file.with_suffix(".yaml")
    values = _read_configuration(configuration, family) if configuration.is_file() else {}
    kind = prediction or _stated_prediction(file, names, notes, values) or family.prediction
    if kind not in PREDICTIONS:
        got = repr(kind) if kind else "a Stable Diffusion 2 file that does not state it"
        raise ConfigError(f"{file}: expected prediction v or epsilon, got {got}; say which with --prediction")
    try:
        schedule = dataclasses.replace(
            family.schedule,
            prediction=kind,
            train_steps=values.get("timesteps", ScheduleConfig.train_steps),
            beta_start=values.get("linear_start", ScheduleConfig.beta_start),
            beta_end=values.get("linear_end", ScheduleConfig.beta_end),
            zero_terminal_snr="ztsnr" in names,
        )
    except ConfigError as error:
        raise CheckpointError(f"{configuration}: {error}; correct or remove it") from error
    _check_betas(file, schedule, written)
    height, width = _size(notes, family.sizes[kind == "v"])
    return CompVisSettings(
        schedule=schedule,
        scaling_factor=float(values.get("scale_factor", family.scaling_factor)),
        height=height,
        width=width,
        licence=notes.get("modelspec.license", "unknown"),
        files=(configuration,) if values else (),
    )


def _stated_prediction(file: Path, names: set[str], notes: dict[str, str], values: dict[str, Any]) -> str | None:
    """The prediction that markers, metadata and configuration state; None when none of them states one."""
    stated = {"v"} if "v_pred" in names else set()
    if "modelspec.prediction_type" in notes:
        stated.add(notes["modelspec.prediction_type"])
    if values:
        parameterization = values.get("parameterization", "eps")
        stated.add(PARAMETERIZATIONS.get(parameterization, str(parameterization)))
    if len(stated) > 1:
        raise CheckpointError(
            f"{file}: expected one prediction, got {shortened(' and '.join(sorted(stated)))}; correct its .yaml"
        )
    return next(iter(stated), None)


def _read_configuration(file: Path, family: Family) -> dict[str, Any]:
    """`model.params` of an LDM configuration; raises CheckpointError when an option is not supported."""
    try:
        values = read_yaml(file)
        params: dict[str, Any] = values["model"]["params"]
        text = {} | (params.get("cond_stage_config", {}).get("params") or {})
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        reason = shortened(error)
        raise CheckpointError(f"{file}: expected an LDM configuration, got: {reason}; correct or remove it") from error
    kind = params.get("parameterization", "eps")
    if not isinstance(kind, str):
        raise CheckpointError(f"{file}: option parameterization: expected a word, got {quoted(kind)}; correct it")
    required = {
        "beta_schedule": (params.get("beta_schedule", "linear"), ("linear",)),
        "conditioning_key": (params.get("conditioning_key", "crossattn"), ("crossattn",)),
        "cond_stage_config.layer": (text.get("layer", family.layers[0]), family.layers),
    }
    for name, (got, accepted) in required.items():
        if got not in accepted:
            expected = " or ".join(map(quoted, accepted))
            raise CheckpointError(
                f"{file}: option {name}: expected {expected}, got {quoted(got)}, which is not supported"
            )
    for name in ("linear_start", "linear_end", "scale_factor", "timesteps"):
        if name in params and not _is_number(params[name], whole=name == "timesteps"):
            raise CheckpointError(f"{file}: option {name}: expected a number, got {quoted(params[name])}; correct it")
    return {"parameterization": "eps", "scale_factor": 1.0} | params


def _is_number(value: object, whole: bool) -> bool:
    """Whether the value is a finite number, which may be written without a point, or a whole number."""
    return type(value) is int or (not whole and isinstance(value, float) and math.isfinite(value))


def _check_betas(file: Path, schedule: ScheduleConfig, written: torch.Tensor | None) -> None:
    """Raise CheckpointError when the betas stored in a file differ from those of its schedule.

    Betas in float8 are rounded to zero, so they show nothing; `check_layout` refuses the weights of such a file.
    """
    if written is None or schedule.zero_terminal_snr or (written.is_floating_point() and written.element_size() == 1):
        return
    expected = torch.from_numpy(betas(schedule))
    tolerance = max(BETA_TOLERANCE, torch.finfo(written.dtype).eps) if written.is_floating_point() else 0
    fits = written.shape == expected.shape
    if not fits or not torch.allclose(written.double(), expected, rtol=tolerance, atol=0):
        wanted = f"{schedule.train_steps} from {schedule.beta_start} to {schedule.beta_end}"
        raise CheckpointError(f"{file}: expected betas as Stable Diffusion's ({wanted}), got others; add its .yaml")


def _size(notes: dict[str, str], default: int) -> tuple[int, int]:
    """Height and width in pixels from ModelSpec's "WIDTHxHEIGHT", else `default` for both."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", notes.get("modelspec.resolution", ""))
    return (int(match[2]), int(match[1])) if match else (default, default)
