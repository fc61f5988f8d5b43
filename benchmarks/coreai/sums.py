"""Why half precision is slow in Apple's runtime for Linux, and what its sums lose.

    python -m benchmarks.coreai.sums

One layer of 64 x 512 numbers and 512 x 512 weights in float16, once as a matrix product, once as a convolution of one
pixel; a product of ones, 4096 terms each; and the emoji model's `denoise` as stored and with sums in float32
(export/coreai/sums.py).  Seconds are CPU seconds of this process, which a busy machine does not change, of the
second call.  Writes benchmarks/results/coreai_sums.json.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from torch import Tensor, nn

from benchmarks.coreai.black_image import convert
from benchmarks.measuring.command_line import run_script
from benchmarks.measuring.results import conditions, write_result
from benchmarks.paths import EMOJI, RESULTS
from export.coreai.lower import lower
from export.coreai.program import CompiledProgram, open_program
from export.coreai.sums import Sums
from export.stages import build_stage
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.decibels import snr_db

RESULT = RESULTS / "coreai_sums.json"
ROWS, WIDTH, ONES = 64, 512, 4096
NAME = "layer.aimodel"


class Layer(nn.Module):
    """A layer in half precision on (1, C, 1, N), with float32 outside."""

    def __init__(self, weight: Tensor, pixels: bool) -> None:
        super().__init__()
        self.pixels = pixels
        self.weight = nn.Parameter(weight.half()[:, :, None, None] if pixels else weight.half(), requires_grad=False)

    def forward(self, latents: Tensor) -> Tensor:
        """(1, C, 1, N) -> (1, D, 1, N)."""
        half = latents.half()
        if self.pixels:
            return nn.functional.conv2d(half, self.weight).float()
        product = half[0, :, 0].T @ self.weight.T  # (N, D)
        return product.T[None, :, None].float()


def timed(program: CompiledProgram, arrays: dict[str, np.ndarray]) -> tuple[float, np.ndarray]:
    """CPU seconds of the second call, and its output."""
    program.run(arrays)
    start = time.process_time()
    (output,) = program.run(arrays).values()
    return time.process_time() - start, output


def layer(weight: Tensor, x: Tensor, pixels: bool, folder: Path) -> dict[str, float]:
    """One layer, as stored."""
    module = Layer(weight, pixels)
    convert(module, x, folder / NAME, {})
    seconds, output = timed(
        open_program(folder / NAME, "layer", "main", folder, Sums.AS_STORED), {"latents": x.numpy()}
    )
    wanted = (weight.half().double() @ x.half().double()[0, :, 0]).numpy()  # (D, N)
    ratio = snr_db(wanted, output[0, :, 0])
    terms = weight.numel() * x.shape[-1]
    return {"ns_per_term": round(1e9 * seconds / terms, 3), "snr_db": round(ratio, 1), "first": float(output.flat[0])}


def main() -> None:
    """Measure and write."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn((WIDTH, WIDTH), generator=generator) / WIDTH**0.5
    x = torch.randn((1, WIDTH, 1, ROWS), generator=generator)
    found: dict[str, Any] = {"conditions": conditions(1)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found["product"], found["convolution"] = (layer(weight, x, pixels, folder) for pixels in (False, True))
        ones = torch.ones((8, ONES)), torch.ones((1, ONES, 1, 4))
        found["ones"] = {
            kind: layer(*ones, pixels, folder)["first"] for kind, pixels in (("product", False), ("convolution", True))
        }
        stage = build_stage(open_checkpoint(EMOJI), "denoise")
        path = folder / lower(stage, folder)
        arrays = {spec.name: np.zeros(spec.shape, spec.dtype) for spec in stage.inputs}
        found["denoise_cpu_s"] = {
            str(sums): round(timed(open_program(path, stage.name, "main", folder, sums), arrays)[0], 2) for sums in Sums
        }
    write_result(RESULT, found)
    typer.echo(json.dumps(found, indent=1))


if __name__ == "__main__":
    run_script(main, __doc__)
