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

from benchmarks.checkpoints.random_weights import EVERY
from benchmarks.measuring.command_line import one_of, run_script
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.drawing import Hint, Start
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.noise import gaussian
from mobile_diffusion.pipeline import Pipeline

PROMPT, NEGATIVE, SEED = "a red apple on a table, studio light", "blurred", 2**40 + 7
GUIDANCE, EMBEDDED_GUIDANCE = 5.0, 8.5
SOLVERS = {
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "lcm": "LCMScheduler",
    "pndm": "PNDMScheduler",
    "dpm-solver++": "DPMSolverMultistepScheduler",
    "deis": "DEISMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "heun": "HeunDiscreteScheduler",
}
"""Solvers, and diffusers' classes of them."""
STEPS = {"lcm-dreamshaper": 4, "lcm-sdxl": 4, "sdxs-512": 1}
"""Steps where eight are not what the architecture is for."""
EDITING = "instruct-pix2pix"
UNGUIDED = frozenset({"sdxs-512"})
"""Architectures that are drawn without guidance, as their model card says."""
PIPELINES = "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion"
XL_PIPELINES = "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl"
CONTROL_PIPELINES = "diffusers.pipelines.controlnet.pipeline_controlnet"
STEP_NOISE = "diffusers.schedulers.scheduling_lcm"
"""The module that makes the noise of a step."""

Drawing = tuple[list[np.ndarray], np.ndarray]
"""Latents after every step, and the picture (H, W, 3) in 0..255."""


@dataclass(frozen=True)
class Comparison:
    """How far our drawing is from diffusers'."""

    steps: int
    worst_latents: float
    """Largest error of the latents after any step, relative to their largest value."""
    last_latents: float
    """The same of the last latents alone: between its steps, diffusers' Euler scales them otherwise."""
    worst_level: float
    """Largest error of a pixel in levels of 255; ours is rounded to whole levels."""
    contrast: float
    """Standard deviation of diffusers' picture in levels: an empty picture would compare well."""


def compare(
    folder: Path,
    name: str,
    start: Start | None = None,
    steps: int | None = None,
    size: tuple[int, int] | None = None,
    **asked: Any,
) -> Comparison:
    """Draw with both; `size` is (height, width), and `asked` are fields of `Asked`."""
    request = Asked(**{"guidance": _own_guidance(name), "negative": _own_negative(name), **asked})
    count = steps or STEPS.get(name, 8)
    ours = our_drawing(folder, name, start, count, request, size)
    theirs = their_drawing(folder, name, start, count, request, ours[0][0].shape)
    pairs = zip(ours[0], theirs[0], strict=True)
    errors = [float(np.abs(left - right).max() / np.abs(right).max()) for left, right in pairs]
    level = float(np.abs(ours[1].astype(np.float64) - theirs[1]).max())
    worst = float(np.max(errors))  # keeps a NaN
    return Comparison(len(ours[0]), worst, errors[-1], level, float(theirs[1].std()))


@dataclass(frozen=True)
class Asked:
    """What is asked of both."""

    guidance: float
    negative: str
    """ "" for none."""
    solver: str | None = None
    """One of SOLVERS; None for the architecture's own, or DDIM for a drawing that begins with a picture."""
    shares: tuple[float, ...] = ()
    """Share of the guidance at each evaluation of a whole drawing; () for all of it."""
    controls: tuple[Path, ...] = ()
    """Folders of ControlNets."""
    hints: tuple[Hint, ...] = ()
    """One per ControlNet."""


def _own_guidance(name: str) -> float:
    if "time_cond_proj_dim" in EVERY[name].unet:
        return EMBEDDED_GUIDANCE
    return 0.0 if name in UNGUIDED else GUIDANCE


def _own_negative(name: str) -> str:
    return NEGATIVE if _own_guidance(name) == GUIDANCE else ""


def _solver(start: Start | None, asked: Asked) -> str | None:
    """The solver that both sides change to, with trailing timesteps; None to leave the checkpoint's."""
    return asked.solver or ("ddim" if start is not None else None)


def our_drawing(
    folder: Path, name: str, start: Start | None, steps: int, asked: Asked, size: tuple[int, int] | None = None
) -> Drawing:
    """Our pipeline's drawing."""
    height, width = size or (None, None)
    changes: dict[str, Any] = {"steps": steps, "height": height, "width": width, "guidance": asked.guidance}
    changes["guidance_shares"], changes["controlnets"] = asked.shares, asked.controls
    if solver := _solver(start, asked):
        changes |= {"solver": solver, "spacing": "trailing"}
    pipeline = Pipeline(open_checkpoint(folder, OpenOptions(**changes)))
    seen: list[np.ndarray] = []
    picture = pipeline.generate(
        PROMPT, SEED, None, None, lambda _, latents: seen.append(latents), asked.negative, start, hints=asked.hints
    )
    return seen, picture


def their_drawing(
    folder: Path, name: str, start: Start | None, steps: int, asked: Asked, shape: tuple[int, ...]
) -> Drawing:
    """diffusers' drawing, with our noise of latents of that shape."""
    kind = "text" if start is None or name == EDITING else "image" if start.mask is None else "mask"
    pipeline = _open(folder, kind, _solver(start, asked), asked.controls)
    seen: list[np.ndarray] = []
    late = 0 if start is None or start.strength is None else steps - min(int(steps * start.strength), steps)
    if asked.shares:
        _guide_by_step(pipeline, asked.shares[late:])

    def keep(_: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append(tensors["latents"].numpy().copy())
        pipeline.made = len(seen)
        return tensors

    light = bool(asked.controls) and _are_t2i_adapters(asked.controls)
    arguments = {"guidance_scale": asked.guidance} | _start(start, shape)
    arguments |= _adapter_hints(asked) if light else _hints(asked.hints, start)
    if light:  # these pipelines have only the callback of old
        arguments["callback"] = lambda step, timestep, latents: keep(None, step, timestep, {"latents": latents})
    else:
        arguments["callback_on_step_end"] = keep
    if asked.negative:
        arguments["negative_prompt"] = asked.negative
    with our_noise(late):
        drawn = pipeline(PROMPT, num_inference_steps=steps, output_type="np", **arguments)
    return seen, drawn.images[0].astype(np.float64) * 255


def _guide_by_step(pipeline: Any, shares: tuple[float, ...]) -> None:
    """Give a pipeline a scale of its own at each step; at 1 it blends to the conditional output."""
    own = type(pipeline)

    class Stepwise(own):  # type: ignore[misc, valid-type]
        do_classifier_free_guidance = True

        @property
        def guidance_scale(self) -> float:
            return 1 + shares[min(self.made, len(shares) - 1)] * (self._guidance_scale - 1)

    pipeline.made = 0
    pipeline.__class__ = Stepwise


def _open(folder: Path, kind: str, solver: str | None, controls: tuple[Path, ...] = ()) -> Any:
    import diffusers

    wide = (folder / "text_encoder_2").exists()
    family = "StableDiffusionXL" if wide else "StableDiffusion"
    classes = {"text": "DiffusionPipeline", "image": f"{family}Img2ImgPipeline"}
    settings: dict[str, Any] = {"add_watermarker": False} if wide else {"safety_checker": None}
    if controls and _are_t2i_adapters(controls):
        adapters = [diffusers.T2IAdapter.from_pretrained(each) for each in controls]
        settings["adapter"] = adapters[0] if len(adapters) == 1 else diffusers.MultiAdapter(adapters)
        opener = getattr(diffusers, f"{family}AdapterPipeline")
    elif controls:
        nets = [diffusers.ControlNetModel.from_pretrained(each) for each in controls]
        settings["controlnet"] = nets[0] if len(nets) == 1 else nets
        kinds = {"text": "ControlNet", "image": "ControlNetImg2Img", "mask": "ControlNetInpaint"}
        opener = getattr(diffusers, f"{family}{kinds[kind]}Pipeline")
    else:
        opener = getattr(diffusers, classes.get(kind, f"{family}InpaintPipeline"))
    pipeline = opener.from_pretrained(folder, **settings)
    if solver is not None:
        changed = {"clip_sample": False, "timestep_spacing": "trailing"}
        pipeline.scheduler = getattr(diffusers, SOLVERS[solver]).from_config(pipeline.scheduler.config, **changed)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _are_t2i_adapters(controls: tuple[Path, ...]) -> bool:
    return json.loads((controls[0] / "config.json").read_text())["_class_name"] == "T2IAdapter"


def _start(start: Start | None, shape: tuple[int, ...]) -> dict[str, Any]:
    *_, height, width = shape
    if start is None:
        noise = torch.from_numpy(gaussian(SEED, shape))
        return {"latents": noise, "height": 8 * height, "width": 8 * width}
    image = {"image": torch.from_numpy(start.image)}
    if start.image_guidance is not None:
        noise = torch.from_numpy(gaussian(SEED, shape))
        return {**image, "image_guidance_scale": start.image_guidance, "latents": noise}
    image["strength"] = start.strength
    if start.mask is None:
        return image
    return {**image, "mask_image": torch.from_numpy(start.mask), "height": 8 * height, "width": 8 * width}


def _hints(hints: tuple[Hint, ...], start: Start | None) -> dict[str, Any]:
    """Arguments of a pipeline with ControlNets; those of one are not lists."""
    if not hints:
        return {}
    images, scales = [torch.from_numpy(hint.image) for hint in hints], [float(hint.scale) for hint in hints]
    name = "image" if start is None else "control_image"
    one = len(hints) == 1
    return {name: images[0] if one else images, "controlnet_conditioning_scale": scales[0] if one else scales}


def _adapter_hints(asked: Asked) -> dict[str, Any]:
    """Arguments of a pipeline with T2I-Adapters; one that reads grey pictures gets a grey one."""
    images = []
    for hint, folder in zip(asked.hints, asked.controls, strict=True):
        channels = json.loads((folder / "config.json").read_text())["in_channels"]
        images.append(torch.from_numpy(hint.image[:, :channels]))
    scales = [float(hint.scale) for hint in asked.hints]
    one = len(images) == 1
    return {"image": images[0] if one else images, "adapter_conditioning_scale": scales[0] if one else scales}


@contextlib.contextmanager
def our_noise(first_step: int = 0) -> Iterator[None]:
    """diffusers' noise is ours, that of a drawing from `first_step` on, and its posteriors give their mean."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    steps = itertools.count(first_step + 1)

    def at_step(shape: Any, **_: Any) -> torch.Tensor:
        return torch.from_numpy(gaussian(SEED, tuple(shape), tensor=next(steps)))

    def at_first(shape: Any, **_: Any) -> torch.Tensor:
        return torch.from_numpy(gaussian(SEED, tuple(shape)))

    with contextlib.ExitStack() as patches:
        patches.enter_context(patch(f"{STEP_NOISE}.randn_tensor", at_step))
        modules = (PIPELINES, XL_PIPELINES, CONTROL_PIPELINES)
        for module, kind in itertools.product(modules, ("", "_img2img", "_inpaint")):
            patches.enter_context(patch(f"{module}{kind}.randn_tensor", at_first))
        mean = patch.object(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
        patches.enter_context(mean)
        yield


def main(
    name: Annotated[str, typer.Argument(help="Architecture.", callback=one_of(EVERY, "architecture"))],
    folder: Annotated[Path, typer.Argument(help="Its checkpoint.")],
    size: Annotated[int, typer.Option(help="Pixels of a side.")] = 512,
    steps: Annotated[int | None, typer.Option(help="The architecture's own number by default.")] = None,
) -> None:
    """Draw with both, and print the distances as JSON."""
    typer.echo(json.dumps(asdict(compare(folder, name, steps=steps, size=(size, size)))))


if __name__ == "__main__":
    run_script(main, __doc__)
