"""What each option costs: work, memory and weights of a picture, counted for Stable Diffusion 1.5.

    python -m benchmarks.checkpoints.option_costs            # benchmarks/results/options.json, a minute, no weights

Counts are exact for the networks as configured (`mobile_diffusion.inspection`); memory is the peak of the largest
stage's activations in float16 beside the float16 weights of that stage, for a phone that loads one stage at a time.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.measuring.command_line import run_script
from benchmarks.measuring.results import write_result
from benchmarks.paths import RESULTS
from mobile_diffusion.autoencoder_config import TinyAutoencoderConfig
from mobile_diffusion.config import ControlConfig, ModelConfig
from mobile_diffusion.inspection import StageCost, stage_costs
from mobile_diffusion.presets import preset

RESULT = RESULTS / "options.json"
BASE = preset("sd15")
HALF = 2
"""float16 weights and activations take half of what is counted in float32."""


def sized(height: int, width: int) -> ModelConfig:
    """The base at another size."""
    return dataclasses.replace(BASE, height=height, width=width)


def scheduled(**changes: Any) -> ModelConfig:
    """The base with another schedule."""
    return dataclasses.replace(BASE, schedule=dataclasses.replace(BASE.schedule, **changes))


def steered(count: int) -> ModelConfig:
    """The base with so many ControlNets."""
    return dataclasses.replace(BASE, controls=(ControlConfig(BASE.unet),) * count)


OPTIONS: dict[str, tuple[ModelConfig, tuple[str, ...]]] = {
    "512 x 512, 8 steps, cfg (base)": (BASE, ()),
    "--size 256": (sized(256, 256), ()),
    "--size 384": (sized(384, 384), ()),
    "--size 768": (sized(768, 768), ()),
    "--size 768x512": (sized(512, 768), ()),
    "--steps 4": (scheduled(steps=4), ()),
    "--solver pndm": (scheduled(solver="pndm"), ()),
    "--solver dpm-solver++": (scheduled(solver="dpm-solver++"), ()),
    "--guidance-interval 0,0.5": (scheduled(guidance_shares=(1.0,) * 4 + (0.0,) * 4), ()),
    "--guidance-kind distilled": (scheduled(guidance_kind="distilled"), ()),
    "--decoder taesd": (dataclasses.replace(BASE, autoencoder=TinyAutoencoderConfig()), ()),
    "--skip-layers 1": (
        dataclasses.replace(BASE, text=dataclasses.replace(BASE.text, layers=BASE.text.layers - 1)),
        (),
    ),
    "--image-to-image, strength 0.5": (scheduled(steps=4), ("encode_image",)),
    "--image-to-image with a mask": (BASE, ("encode_image",)),
    "--controlnet": (steered(1), ()),
    "--controlnet, twice": (steered(2), ()),
}
"""Option -> configuration of what is run, and the stages beside the usual three."""


def cost(config: ModelConfig, more: tuple[str, ...]) -> dict[str, float]:
    """The figures of one option."""
    stages = {stage.name: stage for stage in stage_costs(config)}
    used = [stage for stage in stages.values() if stage.runs or stage.name in more]
    return {
        "denoise_runs": stages["denoise"].runs,
        "tera_macs": round(sum(stage.macs * max(stage.runs, 1) for stage in used) / 1e12, 2),
        "weights_gb": round(sum(stage.weight_bytes["fp16"] for stage in used) / 1e9, 2),
        "memory_gb": round(max(map(_memory, used)) / 1e9, 2),
    }


def _memory(stage: StageCost) -> int:
    return stage.weight_bytes["fp16"] + stage.activation_bytes // HALF


def main() -> None:
    """Count and write."""
    write_result(RESULT, {name: cost(*option) for name, option in OPTIONS.items()})


if __name__ == "__main__":
    run_script(main, __doc__)
