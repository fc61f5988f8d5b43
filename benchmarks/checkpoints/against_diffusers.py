"""Draws the same picture with our pipeline and with diffusers' own, from one checkpoint folder, noise and prompt.

    python -m benchmarks.checkpoints.against_diffusers sd15 /tmp/sd15 --size 128 --steps 2

The folder is one that checkpoints/random_weights.py wrote.  diffusers draws its random numbers through `randn_tensor`,
and a picture's latents from the posterior; here both are replaced, by our noise and the posterior's mean.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import numpy as np
import torch
import typer

from benchmarks.checkpoints.random_weights import ARCHITECTURES
from benchmarks.measuring.command_line import one_of, run_script
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.drawing import Start
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.noise import gaussian
from mobile_diffusion.pipeline import Pipeline

PROMPT, NEGATIVE, SEED = "a red apple on a table, studio light", "blurred", 2**40 + 7
GUIDANCE, EMBEDDED_GUIDANCE = 5.0, 8.5
STEPS = {"lcm-dreamshaper": 4, "sdxs-512": 1}
"""Steps where eight are not what the architecture is for."""
DDIM_INSTEAD = frozenset({"sdxs-512"})
"""Architectures whose own scheduler cannot be a table; both sides take DDIM, and no guidance."""
PIPELINES = "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion"
NOISE_OF = {
    "text": ("diffusers.schedulers.scheduling_lcm", 1),
    "image": (f"{PIPELINES}_img2img", 0),
    "mask": (f"{PIPELINES}_inpaint", 0),
}
"""For each kind of drawing where diffusers makes noise, and which tensor of our seed is the first."""

Drawing = tuple[list[np.ndarray], np.ndarray]
"""Latents after every step, and the picture (H, W, 3) in 0..255."""


@dataclass(frozen=True)
class Comparison:
    """How far our drawing is from diffusers'."""

    steps: int
    worst_latents: float
    """Largest error of the latents after any step, relative to their largest value."""
    worst_level: float
    """Largest error of a pixel in levels of 255; ours is rounded to whole levels."""
    contrast: float
    """Standard deviation of diffusers' picture in levels: an empty picture would compare well."""


def compare(
    folder: Path, name: str, start: Start | None = None, steps: int | None = None, size: tuple[int, int] | None = None
) -> Comparison:
    """Draw with both; `size` is (height, width)."""
    count = steps or STEPS.get(name, 8)
    ours = our_drawing(folder, name, start, count, size)
    theirs = their_drawing(folder, name, start, count, ours[0][0].shape)
    pairs = zip(ours[0], theirs[0], strict=True)
    worst = float(np.max([np.abs(left - right).max() / np.abs(right).max() for left, right in pairs]))  # keeps a NaN
    level = float(np.abs(ours[1].astype(np.float64) - theirs[1]).max())
    return Comparison(len(ours[0]), worst, level, float(theirs[1].std()))


def our_drawing(
    folder: Path, name: str, start: Start | None, steps: int, size: tuple[int, int] | None = None
) -> Drawing:
    """Our pipeline's drawing."""
    height, width = size or (None, None)
    changes: dict[str, Any] = {"steps": steps, "height": height, "width": width}
    if start is not None or name in DDIM_INSTEAD:
        changes |= {"solver": "ddim", "spacing": "trailing"}
    if name in DDIM_INSTEAD:
        changes["guidance_kind"] = "distilled"
    pipeline = Pipeline(open_checkpoint(folder, OpenOptions(**changes)))
    guided = pipeline.settings.guidance_kind == "cfg"
    seen: list[np.ndarray] = []
    picture = pipeline.generate(
        PROMPT,
        SEED,
        GUIDANCE if guided else None,
        None,
        lambda _, latents: seen.append(latents),
        NEGATIVE if guided else "",
        start,
    )
    return seen, picture


def their_drawing(folder: Path, name: str, start: Start | None, steps: int, shape: tuple[int, ...]) -> Drawing:
    """diffusers' drawing, with our noise of latents of that shape."""
    kind = "text" if start is None else "image" if start.mask is None else "mask"
    pipeline = _open(folder, name, kind)
    seen: list[np.ndarray] = []

    def keep(_: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append(tensors["latents"].numpy().copy())
        return tensors

    arguments = _guidance(name) | _start(start, shape)
    with _our_noise(kind):
        drawn = pipeline(PROMPT, num_inference_steps=steps, output_type="np", callback_on_step_end=keep, **arguments)
    return seen, drawn.images[0].astype(np.float64) * 255


def _open(folder: Path, name: str, kind: str) -> Any:
    import diffusers

    classes = {"text": "DiffusionPipeline", "image": "StableDiffusionImg2ImgPipeline"}
    opener = getattr(diffusers, classes.get(kind, "StableDiffusionInpaintPipeline"))
    pipeline = opener.from_pretrained(folder, safety_checker=None)
    if kind != "text" or name in DDIM_INSTEAD:
        changed = {"clip_sample": False, "timestep_spacing": "trailing"}
        pipeline.scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config, **changed)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _guidance(name: str) -> dict[str, Any]:
    if ARCHITECTURES[name].pipeline != "StableDiffusionPipeline":
        return {"guidance_scale": EMBEDDED_GUIDANCE}
    if name in DDIM_INSTEAD:
        return {"guidance_scale": 0.0}
    return {"guidance_scale": GUIDANCE, "negative_prompt": NEGATIVE}


def _start(start: Start | None, shape: tuple[int, ...]) -> dict[str, Any]:
    *_, height, width = shape
    if start is None:
        noise = torch.from_numpy(gaussian(SEED, shape))
        return {"latents": noise, "height": 8 * height, "width": 8 * width}
    image = {"image": torch.from_numpy(start.image), "strength": start.strength}
    if start.mask is None:
        return image
    mask = torch.from_numpy(start.mask).repeat_interleave(8, 2).repeat_interleave(8, 3)
    return {**image, "mask_image": mask, "height": 8 * height, "width": 8 * width}


@contextlib.contextmanager
def _our_noise(kind: str) -> Iterator[None]:
    """diffusers' noise is ours, and its posteriors give their mean."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    module, first = NOISE_OF[kind]
    counter = itertools.count(first)

    def ours(shape: Any, **_: Any) -> torch.Tensor:
        return torch.from_numpy(gaussian(SEED, tuple(shape), tensor=next(counter)))

    mean = patch.object(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    with patch(f"{module}.randn_tensor", ours), mean:
        yield


def main(
    name: Annotated[str, typer.Argument(help="Architecture.", callback=one_of(ARCHITECTURES, "architecture"))],
    folder: Annotated[Path, typer.Argument(help="Its checkpoint.")],
    size: Annotated[int, typer.Option(help="Pixels of a side.")] = 512,
    steps: Annotated[int | None, typer.Option(help="The architecture's own number by default.")] = None,
) -> None:
    """Draw with both, and print the distances as JSON."""
    typer.echo(json.dumps(asdict(compare(folder, name, steps=steps, size=(size, size)))))


if __name__ == "__main__":
    run_script(main, __doc__)
