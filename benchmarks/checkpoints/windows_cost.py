"""Counts what a prompt of several windows costs: the work of one guided step, and calls of the text encoder.

    python -m benchmarks.checkpoints.windows_cost

Computed from the configurations, on the meta device, so the same on every computer.
"""

from __future__ import annotations

import json
from dataclasses import replace

from benchmarks.measuring.command_line import run_script
from benchmarks.paths import RESULTS
from mobile_diffusion.inspection.stage_cost import stage_costs
from mobile_diffusion.presets import PRESETS

RESULT = RESULTS / "prompt_windows.json"
MODELS, WINDOWS = ("sd15", "sdxl"), (1, 2, 3)


def main() -> None:
    """Count all, and write the result."""
    rows = []
    for name in MODELS:
        for windows in WINDOWS:
            costs = {cost.name: cost for cost in stage_costs(replace(PRESETS[name], windows=windows))}
            text, step = costs["encode_text"], costs["denoise"]
            rows.append(
                {
                    "model": name,
                    "windows": windows,
                    "step_gmacs": round(step.macs / 1e9, 2),
                    "step_activations_mb": round(step.activation_bytes / 1e6, 1),
                    "step_weights_mb": round(step.weight_bytes["fp16"] / 1e6, 1),
                    "text_calls": text.runs,
                    "text_gmacs": round(text.macs / 1e9, 2),
                }
            )
    RESULT.write_text(json.dumps({"rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    run_script(main, __doc__)
