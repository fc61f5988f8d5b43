"""The black picture of docs/coreml.md in Apple's own runtime: an autoencoder with large activations, in three ways.

    python -m benchmarks.coreai.black_image

The decoder is that of benchmarks/coreml/black_image.py: it draws the same picture with numbers as large as Stable
Diffusion's inside.  "naive" is diffusers' decoder in half through coreai-torch with its defaults.  "norm in half" is
the same, with the group norm written out in half as coremltools writes it: the mean of (x - mean)^2.  "ours" is
export/coreai/lower.py.  Apple's runtime for Linux runs them; nothing here ran on a phone.
Writes benchmarks/results/coreai_black_image.json.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor, nn

from benchmarks.coreml.black_image import FACTOR, DiffusersDecoder, amplified, latents_of_a_picture, stage_of
from benchmarks.measuring.command_line import run_script
from benchmarks.measuring.results import conditions, write_result
from benchmarks.paths import EMOJI, RESULTS
from export.coreai.lower import lower
from export.coreai.toolchain import NOISY_LOGGERS, import_coreai
from export.parity.metrics import compare_pictures
from export.quiet import errors_only
from export.runners.coreai import CoreAIRunner
from export.stages import DecodeImage
from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.checkpoint import open_checkpoint

ASSET = "decode_image.aimodel"


class InHalf(nn.Module):
    """A module in float16 with inputs and outputs in float32."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module.half()

    def forward(self, latents: Tensor) -> Tensor:
        """latents float32 (1, C, h, w) -> image float32 (1, 3, H, W)."""
        return self.module(latents.half()).float()


def norm_in_half(
    x: Tensor, weight: Tensor, bias: Tensor, batch: int, channels: int, size: int, groups: int, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """torch's native_group_norm of (B, C, ...), all of it in the precision of x; the last two results are unused."""
    grouped = x.reshape(batch, groups, -1)
    difference = grouped - grouped.mean(2, keepdim=True)
    variance = (difference * difference).mean(2, keepdim=True)
    normed = (difference / (variance + epsilon).sqrt()).reshape(x.shape)
    channel = (-1, *[1] * (x.dim() - 2))
    return normed * weight.reshape(channel) + bias.reshape(channel), variance, variance


def convert(module: nn.Module, latents: Tensor, path: Path, table: dict[Any, Callable[..., Any]]) -> None:
    """A module through torch.export and coreai-torch with its decompositions and those of `table`."""
    coreai_torch = import_coreai("coreai_torch")
    with errors_only(NOISY_LOGGERS, prints=True), torch.no_grad():
        program = torch.export.export(module.eval(), (latents,))
        program = program.run_decompositions({**coreai_torch.get_decomp_table(), **table})
        names = {"input_names": ["latents"], "output_names": ["image"]}
        coreai_torch.TorchConverter().add_exported_program(program, **names).to_coreai().save_asset(path)


def main(
    factor: Annotated[float, typer.Option(help="By which the activations grow.")] = FACTOR,
    out: Annotated[Path, typer.Option(help="JSON to write.")] = RESULTS / "coreai_black_image.json",
) -> None:
    """Draw, compare, write."""
    model = open_checkpoint(EMOJI)
    original = model.load_part("autoencoder")
    assert isinstance(original, Autoencoder)
    latents, loud = latents_of_a_picture(model), amplified(original, factor)
    with torch.inference_mode():
        reference = DecodeImage(loud)(latents).numpy()
    written_out = {torch.ops.aten.native_group_norm.default: norm_in_half}
    ways: dict[str, Callable[[Path], object]] = {
        "naive": lambda path: convert(InHalf(DiffusersDecoder(loud)), latents, path, {}),
        "naive, norm in half": lambda path: convert(InHalf(DiffusersDecoder(loud)), latents, path, written_out),
        "ours": lambda path: lower(stage_of(loud, latents, reference), path.parent),
    }
    results: dict[str, Any] = {"conditions": conditions(1, model="assets/emoji, decoder amplified", factor=factor)}
    for name, write in ways.items():
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / ASSET)
            runner = CoreAIRunner.load(Path(folder), {"decode_image": ASSET})
            image = runner.run("decode_image", latents=latents.numpy())["image"]
        metrics = compare_pictures(reference, image)
        contrast = float(np.nan_to_num(image).std())
        results[name] = {"psnr_db": round(metrics.psnr_db, 2), "contrast": round(contrast, 4)}
    results["reference"] = {"contrast": round(float(reference.std()), 4)}
    write_result(out, results)
    typer.echo(json.dumps(results, indent=1))


if __name__ == "__main__":
    run_script(main, __doc__)
