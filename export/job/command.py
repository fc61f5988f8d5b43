"""The command that makes a bundle again, as far as its manifest says it; the page and the model card show it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from export.bundle.manifest import Manifest
from export.bundle.manifest_parts import ScheduleEntry
from export.mixed.names import SETTING
from export.signatures import HINT
from export.targets import find_target
from mobile_diffusion.schedule import rows_after

CHECKPOINT = "CHECKPOINT"
"""Stands for the user's own path or hub id, which a bundle does not tell."""
CONTROLNET = "CONTROLNET"
"""Stands for the path of a ControlNet, which it does not tell either."""
ADAPTER = "NAME=LORA"
"""Stands for the name and file of an adapter."""
NOT_IN_MANIFEST = ("--controlnet", CONTROLNET, "--adapter", ADAPTER)
"""Words of the command whose values a user has to give."""
TWO_STAGES = ("heun", "kdpm2")
"""How the names of solvers begin that evaluate the network twice per step, but once in the last."""
_SWITCHES = {
    "compute_units": "--compute-units",
    "deployment_target": "--deployment-target",
    "preferred_compute_unit": "--coreai-unit",
    "delegate": "--delegate",
    SETTING: "--mixed-precision",
}
"""Setting of a runtime -> option of the command line."""
_FIXED = {"coreai": ("deployment_target",)}
"""Settings that no option changes."""


def reproduce(manifest: Manifest, depth: str) -> str:
    """The command, one option per line, with the options that decide what is in the programs."""
    words = ["mobile-diffusion", "export", manifest.target, CHECKPOINT, *options(manifest, depth)]
    return shlex.join(words).replace(" --", " \\\n  --")


def options(manifest: Manifest, depth: str) -> list[str]:
    """The options of the command, word by word."""
    return [*_picture(manifest), *_runtimes(manifest), "--check", depth]


def asked_steps(schedule: ScheduleEntry) -> int:
    """The number of steps that was asked for: pndm and solvers of two stages have more rows (schedule/solvers.py)."""
    rows = len(rows_after(schedule.starts, len(schedule.timesteps), 0))
    if schedule.solver == "pndm":
        return max(1, rows - 1)
    return (rows + 1) // 2 if schedule.solver.startswith(TWO_STAGES) else rows


def _picture(manifest: Manifest) -> Iterator[str]:
    model, schedule = manifest.model, manifest.schedule
    yield from ("--size", f"{model.width}x{model.height}", "--steps", str(asked_steps(schedule)))
    yield from ("--solver", schedule.solver, "--spacing", schedule.spacing)
    yield from ("--guidance", f"{schedule.guidance_default:g}")
    if schedule.guidance_shares:
        yield from ("--guidance-shares", ",".join(f"{share:g}" for share in schedule.guidance_shares))
    for stage in manifest.stages:
        for each in stage.inputs if stage.name == HINT else ():
            yield from ("--controlnet", CONTROLNET) * each.shape[0]
        for each in stage.inputs if stage.name == "denoise" else ():
            if each.name == "adapters":
                yield from ("--adapter", ADAPTER) * each.shape[0]
            if each.name == "context" and (windows := each.shape[1] // manifest.tokenizer.max_tokens) > 1:
                yield from ("--windows", str(windows))
    if (tile := _tile(manifest)) is not None:
        yield from ("--tile", str(tile))
    if any(stage.name == "encode_image" for stage in manifest.stages):
        yield "--image-to-image"


def _tile(manifest: Manifest) -> int | None:
    """The side in pixels of the tiles by which pictures are decoded; None for whole pictures."""
    images = (spec.shape for stage in manifest.stages for spec in stage.outputs if stage.name == "decode_image")
    sides = next(images)[2:]
    return None if sides == (manifest.model.height, manifest.model.width) else max(sides)


def _runtimes(manifest: Manifest) -> Iterator[str]:
    given: dict[str, str] = {}
    for entry in manifest.runtimes:
        yield from ("--runtime", entry.name)
        default = next(each for each in find_target(manifest.target).runtimes if each.name == entry.name)
        if entry.precision != default.precision:
            given["--coreai-precision" if entry.name == "coreai" else "--precision"] = entry.precision
        if entry.compression != "none":
            given["--compress"] = "plan.json" if entry.compression.startswith("mixed-") else entry.compression
        for setting in entry.settings:
            if setting.name == "pixel_buffer" and setting.value == "true":
                given["--pixel-buffer"] = ""
            elif setting.name in _SWITCHES and setting.name not in _FIXED.get(entry.name, ()):
                given[_SWITCHES[setting.name]] = setting.value
    for name, value in given.items():
        yield from (name, value) if value else (name,)
