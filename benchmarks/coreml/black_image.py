"""The lost picture: an autoencoder with large activations, converted naively and by us, run by the interpreter.

    python -m benchmarks.coreml.black_image

The emoji model's autoencoder is amplified: the numbers inside become as large as those of Stable Diffusion's own, and
the picture stays the same: every convolution whose result only a group norm sees is multiplied, and the norm takes
the factor away again.  The naive conversion is diffusers' AutoencoderKL with these weights through torch.export and
coremltools in half precision, with coremltools' own group norm.  Ours is export/coreml/lower.py, in both layouts.
Nothing here ran on a phone.  Writes benchmarks/results/black_image.json and docs/pictures/black_image.png: what
PyTorch draws, the naive program (a grey square), ours.
"""

from __future__ import annotations

import copy
import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.measuring.command_line import run_script
from benchmarks.measuring.results import conditions, write_result
from benchmarks.paths import EMOJI, RESULTS, ROOT
from export.coreml.interpret import Program
from export.coreml.lower import lower
from export.coreml.options import CoreMLOptions
from export.coreml.package_archive import CoreMLPackage
from export.coreml.toolchain import NOISY_LOGGERS, import_coremltools, without_bars
from export.coreml.torch_sources import read_sources
from export.parity.metrics import compare_pictures
from export.quiet import errors_only
from export.signatures import TensorSpec
from export.stages import DecodeImage, ExportStage
from export.studies.faults.observe import FaultObserver
from export.studies.faults.roundoff import operand_roundoffs
from mobile_diffusion.autoencoder import Autoencoder, PixelAttention
from mobile_diffusion.blocks import ResnetBlock, Upsample
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.staging import staged_file

FACTOR = 256.0
PROMPT, SEED = "a red apple, 3d", 7
LAYOUTS = {"gpu": "CPU_AND_GPU", "neural-engine": "CPU_AND_NE"}

Floats = NDArray[np.float32]


def amplified(autoencoder: Autoencoder, factor: float) -> Autoencoder:
    """A copy whose decoder draws the same with everything between its norms `factor` times as large.

    The epsilons of the norms stay, so the pictures are equal but for what an epsilon of 1e-6 changes.
    """
    result = copy.deepcopy(autoencoder)
    scale(result.decoder.conv_in, factor)
    for module in result.decoder.modules():
        if isinstance(module, ResnetBlock):
            scale(module.conv1, factor)
            scale(module.conv2, factor)
            if module.conv_shortcut is not None:
                scale_bias(module.conv_shortcut, factor)
        elif isinstance(module, PixelAttention):
            scale(module.to_out[0], factor)
        elif isinstance(module, Upsample):
            scale_bias(module.conv, factor)
    return result


def scale(layer: nn.Module, factor: float) -> None:
    """Multiply what a layer adds to something already multiplied, or makes of something that is not."""
    layer.weight.data.mul_(factor)  # type: ignore[union-attr, operator]
    scale_bias(layer, factor)


def scale_bias(layer: nn.Module, factor: float) -> None:
    """Multiply the bias alone, of a layer whose input is multiplied already."""
    layer.bias.data.mul_(factor)  # type: ignore[union-attr, operator]


class DiffusersDecoder(nn.Module):
    """diffusers' decoder with the weights of ours, slim or full, from latents to a picture in [0, 1]."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        from diffusers import AutoencoderKL

        config = autoencoder.config
        channels, groups = config.of_decoder
        self.scaling = config.scaling_factor
        self.vae = AutoencoderKL(
            latent_channels=config.latent_channels,
            block_out_channels=channels,
            layers_per_block=config.resnets,
            norm_num_groups=groups,
            down_block_types=["DownEncoderBlock2D"] * len(channels),
            up_block_types=["UpDecoderBlock2D"] * len(channels),
        )
        self.vae.decoder.load_state_dict(autoencoder.decoder.state_dict())
        self.vae.post_quant_conv.load_state_dict(autoencoder.post_quant_conv.state_dict())

    def forward(self, latents: Tensor) -> Tensor:
        """latents (1, C, h, w) -> image (1, 3, H, W)."""
        return (self.vae.decode(latents / self.scaling).sample * 0.5 + 0.5).clamp(0.0, 1.0)


def convert_naively(module: nn.Module, latents: Tensor, path: Path) -> Path:
    """A module through torch.export and coremltools with their defaults, in half precision."""
    ct = import_coremltools()
    with errors_only(NOISY_LOGGERS), without_bars(), torch.no_grad():
        program = torch.export.export(module.eval(), (latents,)).run_decompositions({})
        model = ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=ct.target.iOS17,
            outputs=[ct.TensorType(name="image", dtype=np.float32)],
            skip_model_load=True,
        )
    model.save(str(path))
    return path


def stage_of(autoencoder: Autoencoder, latents: Tensor, image: Floats) -> ExportStage:
    """The stage decode_image of an autoencoder."""
    inputs = (TensorSpec("latents", "float32", tuple(latents.shape)),)
    module = DecodeImage(autoencoder).eval().requires_grad_(False)
    return ExportStage("decode_image", module, inputs, (TensorSpec("image", "float32", image.shape),))


def drawn(path: Path, latents: Tensor) -> tuple[Floats, FaultObserver]:
    """The picture of a package, by the interpreter, and the faults on the way."""
    package, program = CoreMLPackage.open(path), Program.open(path)
    observer = FaultObserver(read_sources(package.spec), operand_roundoffs(package), "latents")
    outputs = program.run(observer, **{program.inputs[0].name: latents.numpy()})
    return next(iter(outputs.values())), observer


def judged(reference: Floats, image: Floats, observer: FaultObserver) -> dict[str, Any]:
    """Figures of one picture."""
    faults = list(observer.found.values())
    lost = [each for each in faults if each.counts.overflow]
    first = lost[0] if lost else None
    metrics = compare_pictures(reference, image)
    return {
        "psnr_db": round(metrics.psnr_db, 2),
        "ssim": round(metrics.ssim, 4),
        "mean": round(float(image.mean()), 4),
        "contrast": round(float(image.std()), 4),
        "operations": len(faults),
        "operations_that_overflow": len(lost),
        "elements_that_overflow": sum(each.counts.overflow for each in lost),
        "first_overflow": first and {key: asdict(first)[key] for key in ("name", "operation", "module")},
        "largest_before_rounding": max(each.counts.highest for each in faults),
    }


def latents_of_a_picture(model: Any) -> Tensor:
    """The emoji model's latents for PROMPT."""
    states: list[np.ndarray] = []
    Pipeline(model).generate(PROMPT, seed=SEED, on_step=lambda step, latents: states.append(latents))
    return torch.from_numpy(states[-1].copy())


def save_side_by_side(images: list[Floats], path: Path) -> None:
    """Pictures (1, 3, H, W) in a row, with a white line between."""
    from PIL import Image

    line = np.ones((3, images[0].shape[2], 4), np.float32)
    row = [part for image in images for part in (np.nan_to_num(image[0]).clip(0, 1), line)][:-1]
    pixels = np.rint(np.concatenate(row, axis=2).transpose(1, 2, 0) * 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with staged_file(path) as scratch:
        Image.fromarray(pixels).save(scratch, format="png", optimize=True)


def main(
    factor: Annotated[float, typer.Option(help="By which the activations grow.")] = FACTOR,
    out: Annotated[Path, typer.Option(help="JSON to write.")] = RESULTS / "black_image.json",
    picture: Annotated[Path, typer.Option(help="PNG to write.")] = ROOT / "docs" / "pictures" / "black_image.png",
) -> None:
    """Draw, compare, write."""
    model = open_checkpoint(EMOJI)
    original = model.load_part("autoencoder")
    assert isinstance(original, Autoencoder)
    latents = latents_of_a_picture(model)
    loud = amplified(original, factor)
    with torch.inference_mode():
        wanted, reference = (DecodeImage(each)(latents).numpy() for each in (original, loud))
    results: dict[str, Any] = {
        "conditions": conditions(
            1,
            **{
                "model": "assets/emoji, decoder amplified",
                "factor": factor,
                "prompt": PROMPT,
                "seed": SEED,
                "reference": "PyTorch in float32, the amplified decoder",
                "run_by": "export/coreml/interpret, as stored; no device",
            },
        ),
        "amplified_against_original_psnr_db": round(compare_pictures(wanted, reference).psnr_db, 2),
    }
    with tempfile.TemporaryDirectory() as folder:
        naive = convert_naively(DiffusersDecoder(loud), latents, Path(folder) / "naive.mlpackage")
        pictures = {"naive": drawn(naive, latents)}
        for layout, units in LAYOUTS.items():
            stage = stage_of(loud, latents, reference)
            path = Path(folder) / lower(stage, Path(folder), CoreMLOptions(compute_units=units))
            pictures[f"ours, {layout}"] = drawn(path, latents)
    for name, (image, observer) in pictures.items():
        results[name] = judged(reference, image, observer)
    save_side_by_side([reference, pictures["naive"][0], pictures["ours, gpu"][0]], picture)
    write_result(out, results)
    typer.echo(json.dumps(results, indent=1))


if __name__ == "__main__":
    run_script(main, __doc__)
