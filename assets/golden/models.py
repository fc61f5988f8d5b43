"""The small models whose drawings are recorded: one for each way in which drawings differ.

Weights are this project's own noise, a seed for every tensor, and so are the embeddings of the steps' times: nothing
depends on torch's generators, or on how a processor rounds a sine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from export.job.preview import Preview
from export.signatures import HINT, IMAGE_STAGES, STAGES
from export.stages import ExportStage, build_stages
from mobile_diffusion.adapter_config import AdaptedLayer, AdapterConfig
from mobile_diffusion.adapters import Adapters
from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.config import (
    BertConfig,
    ClipPairConfig,
    ClipTextConfig,
    ControlConfig,
    ModelConfig,
    ScheduleConfig,
    UNetConfig,
    UNetLevel,
)
from mobile_diffusion.drawing import Hint, Start
from mobile_diffusion.formats.checkpoint_files import builders
from mobile_diffusion.noise import gaussian

SMALL = ModelConfig(
    name="golden",
    licence="Apache-2.0",
    height=16,
    width=16,
    unet=UNetConfig(
        down=(UNetLevel(16, 1, 1), UNetLevel(32, 1, 1)),
        mid=UNetLevel(32, 1, 1),
        up=(UNetLevel(32, 2, 1), UNetLevel(16, 2, 1)),
        context_width=32,
        heads=2,
        groups=8,
    ),
    autoencoder=AutoencoderConfig(channels=(16, 16), latent_channels=4, resnets=1, groups=8, scaling_factor=0.5),
    text=BertConfig(vocabulary=30522, width=32, layers=1, heads=2, intermediate=64, positions=24, max_tokens=24),
    schedule=ScheduleConfig(beta_schedule="cosine", prediction="v", guidance=3.0),
    tokenizer="wordpiece",
)
WORDPIECE, CLIP, FULL_CLIP = "../emoji/tokenizer.json", "tokenizers/added.json", "tokenizers/clip.json"
PREVIEW = Preview(
    weights=((0.21, 0.13, -0.07, 0.02), (0.18, -0.05, 0.11, 0.04), (-0.09, 0.16, 0.05, 0.125)),
    bias=(0.5, 0.46875, 0.53),
)


INTERVAL = (0.0, 1.0, 1.0, 0.3, 0.0, 0.0, 0.0, 0.0)
"""Shares of the guidance: not at the beginning, then in full, in part, and no more."""


@dataclass(frozen=True, eq=False)
class Redrawn:
    """A picture to start from."""

    pixels: NDArray[np.uint8]
    """(H, W, 3)."""
    strength: float | None
    """None for the model's own."""
    mask: NDArray[np.uint8] | None = None
    """(H, W): 1 where it is drawn anew."""
    image_guidance: float | None = None

    def start(self) -> Start:
        """The same as the loop takes it: a pixel's value is divided by 255 in float64, then rounded to float32."""
        image = (self.pixels.transpose(2, 0, 1)[None] / 255).astype(np.float32)  # (1, 3, H, W)
        mask = None if self.mask is None else self.mask[None, None].astype(np.float32)
        return Start(image, self.strength, mask, self.image_guidance)


@dataclass(frozen=True, eq=False)
class Hinted:
    """A picture for a ControlNet."""

    pixels: NDArray[np.uint8]
    """(H, W, 3)."""
    scale: float

    def hint(self) -> Hint:
        """The same as the loop takes it, as `Redrawn.start`."""
        return Hint((self.pixels.transpose(2, 0, 1)[None] / 255).astype(np.float32), self.scale)


def _triangle(size: int) -> NDArray[np.uint8]:
    """A mask (size, size) whose edge cuts through blocks of latents: the lower left half, moved up by a pixel."""
    return np.tri(size, k=1, dtype=np.uint8)


def _ramps(height: int, width: int) -> NDArray[np.uint8]:
    """A picture (H, W, 3) with another slope in each channel."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 15, columns * 16, 255 - rows * 3 - columns * 11], -1).astype(np.uint8)


@dataclass(frozen=True)
class GoldenModel:
    """A model, and its prompt and seed."""

    config: ModelConfig
    tokenizer: str
    """File relative to assets/golden."""
    prompt: str
    negative: str
    seed: int
    guidance: float | None
    """None for the model's own."""
    preview: Preview | None
    redrawn: Redrawn | None = None
    second_tokenizer: str | None = None
    """SDXL's second file, relative to assets/golden."""
    syntax: str = "plain"
    """How both prompts write weights."""
    hints: tuple[Hinted, ...] = ()
    """One per ControlNet."""
    later: tuple[str, ...] = ()
    """Names of adapters that were made for the bundle later."""
    scales: tuple[tuple[str, float], ...] = ()
    """Adapters that are on, in this order, each with its scale."""

    @property
    def adapters(self) -> Adapters | None:
        """The model's adapters and those of later, every number of them noise."""
        room = self.config.adapters
        if room is None:
            return None
        names = (*room.names, *self.later)
        factors = (gaussian(number, room.shape[1:]) for number in range(len(names)))
        return Adapters(names, tuple((0.2 * each).astype(np.float32) for each in factors), len(room.names))

    def load_part(self, part: str) -> nn.Module:
        """One network, every tensor of it noise: biases and norms too, else a lost one would go unnoticed."""
        network = builders(self.config)[part]().eval().requires_grad_(False)
        for number, (name, tensor) in enumerate(network.named_parameters()):
            spread = 0.1 if tensor.ndim == 1 else 1 / math.sqrt(math.prod(tensor.shape[1:]))
            shift = 1.0 if tensor.ndim == 1 and name.endswith("weight") else 0.0
            tensor.copy_(torch.from_numpy(gaussian(number, tensor.shape)) * spread + shift)
        return network

    def stages(self) -> dict[str, ExportStage]:
        """The exported modules, computing in float64."""
        names = STAGES if self.redrawn is None and self.config.task == "draw" else IMAGE_STAGES
        stages = dict(build_stages(self, (*names, HINT) if self.hints else names))
        for name, times in stages["denoise"].module.named_buffers():
            if name == "times" or name.endswith(".times"):
                times.copy_(torch.from_numpy(gaussian(len(times), times.shape)))
        if self.config.unet.pooled_width:
            of_size = stages["denoise"].module.get_parameter("unet.add_embedding.linear_1.bias")
            of_size.copy_(torch.from_numpy(gaussian(len(of_size), of_size.shape)))
        for stage in stages.values():
            stage.module.double()
        return stages


def _lcm() -> ModelConfig:
    """A wide picture, CLIP's tokenizer and text encoder, guidance in the weights, noise at every step."""
    text = ClipTextConfig(vocabulary=2021, width=32, layers=1, heads=2, intermediate=64, positions=40, max_tokens=40)
    schedule = ScheduleConfig(solver="lcm", prediction="v", guidance_kind="distilled", guidance=7.5, steps=4)
    unet = replace(SMALL.unet, guidance_width=8)
    return replace(SMALL, width=32, unet=unet, text=text, schedule=schedule, tokenizer="clip-bpe")


def _sdxl(**schedule: Any) -> ModelConfig:
    """Two text encoders with tokenizers of their own, a pooled text, and zeros for a missing negative prompt."""
    first = ClipTextConfig(vocabulary=49408, width=16, layers=2, heads=2, intermediate=32, positions=40, max_tokens=40)
    second = replace(first, vocabulary=2021, activation="gelu")
    text = ClipPairConfig(first, second, pooled_width=12, end=2013)  # the id of <|endoftext|> in the short vocabulary
    unet = replace(SMALL.unet, linear_projection=True, pooled_width=12, size_width=4)
    steps = ScheduleConfig(solver="euler", spacing="leading", offset=1, steps=2, guidance=5.0, **schedule)
    return replace(SMALL, unet=unet, text=text, schedule=steps, tokenizer="clip-bpe-pair")


def _switched(**schedule: Any) -> ModelConfig:
    """Room for two adapters of a linear layer, and of convolutions with and without a stride."""
    found = builders(SMALL)["unet"]().state_dict()
    ends = ("attn2.to_q", "attn2.to_out.0", "resnets.0.conv1", "downsamplers.0.conv", "proj_in")
    names = [name.removesuffix(".weight") for name in found if name.startswith("down_blocks")]
    layers = (
        AdaptedLayer(name, found[f"{name}.weight"][0].numel(), len(found[f"{name}.weight"]))
        for name in names
        if name.endswith(ends)
    )
    adapters = AdapterConfig(("ink", "clay"), 2, tuple(layers))
    return replace(SMALL, adapters=adapters, schedule=replace(SMALL.schedule, **schedule))


def _reading(channels: int, **schedule: Any) -> ModelConfig:
    """A network whose U-Net has more channels, those of a picture that it reads."""
    unet = replace(SMALL.unet, in_channels=channels)
    return replace(SMALL, unet=unet, schedule=replace(SMALL.schedule, **schedule))


def _steered(**schedule: Any) -> ModelConfig:
    """Two ControlNets."""
    controls = (ControlConfig(SMALL.unet, (4, 8)), ControlConfig(SMALL.unet, (8, 4)))
    return replace(SMALL, controls=controls, schedule=replace(SMALL.schedule, **schedule))


MODELS = {
    "ddim": GoldenModel(SMALL, WORDPIECE, "a red apple, 3d", "text, watermark", 7, 4.5, PREVIEW),
    "multistep": GoldenModel(
        replace(SMALL, schedule=replace(SMALL.schedule, solver="dpm-solver++")),
        WORDPIECE,
        "\u0130stanbul \U0001f34e " * 12,
        "",
        2**64 - 1,
        None,
        None,
    ),
    "interval": GoldenModel(
        replace(SMALL, schedule=replace(SMALL.schedule, solver="dpm-solver++", guidance_shares=INTERVAL)),
        WORDPIECE,
        "a red apple, 3d",
        "text",
        11,
        None,
        None,
    ),
    "unguided": GoldenModel(
        replace(SMALL, schedule=replace(SMALL.schedule, guidance=0.0)),
        WORDPIECE,
        "a red apple, 3d",
        "text",
        7,
        0.5,
        None,
    ),
    "sde": GoldenModel(
        replace(SMALL, schedule=replace(SMALL.schedule, solver="sde-dpm-solver++", order=3, steps=6)),
        WORDPIECE,
        "a blue boat",
        "",
        19,
        None,
        None,
    ),
    "image": GoldenModel(
        replace(SMALL, schedule=replace(SMALL.schedule, solver="heun", steps=4)),
        WORDPIECE,
        "a red apple, 3d",
        "text",
        3,
        None,
        None,
        Redrawn(_ramps(16, 16), 0.5),
    ),
    "tiles": GoldenModel(
        replace(SMALL, height=24, width=44, tile=16, schedule=replace(SMALL.schedule, steps=2)),
        WORDPIECE,
        "a red apple, 3d",
        "text",
        14,
        None,
        None,
        Redrawn(_ramps(24, 44), 0.5),
    ),
    "mask": GoldenModel(
        replace(SMALL, schedule=replace(SMALL.schedule, steps=3)),
        WORDPIECE,
        "a green leaf",
        "",
        5,
        None,
        None,
        Redrawn(_ramps(16, 16), 1.0, _triangle(16)),
    ),
    "inpaint": GoldenModel(
        _reading(9, solver="dpm-solver++", steps=4),
        WORDPIECE,
        "a green leaf",
        "text",
        8,
        None,
        None,
        Redrawn(_ramps(16, 16), 0.75, _triangle(16)),
    ),
    "inpaint-all": GoldenModel(
        _reading(9, steps=2, guidance_shares=(1.0, 0.0)), WORDPIECE, "a red apple, 3d", "", 9, None, None
    ),
    "edit": GoldenModel(
        _reading(8, solver="euler-ancestral", steps=3),
        WORDPIECE,
        "make it a night",
        "day",
        10,
        None,
        None,
        Redrawn(_ramps(16, 16), None, None, 2.5),
    ),
    "edit-unguided": GoldenModel(
        _reading(8, steps=2), WORDPIECE, "make it a night", "", 10, 1.0, None, Redrawn(_ramps(16, 16), None)
    ),
    "lcm": GoldenModel(_lcm(), CLIP, "<Cat> on a train, na\u00efve style", "", 2**32, None, PREVIEW),
    "sdxl": GoldenModel(_sdxl(), FULL_CLIP, "wow!!! <Cat> in a red boat", "", 5, None, None, None, CLIP),
    "weights": GoldenModel(
        replace(_sdxl(), windows=2),
        FULL_CLIP,
        "a (red:1.4) [boat], ((calm)) sea, " * 6 + "BREAK a \\(small\\) <Cat>",
        "(text:1.2)",
        6,
        None,
        None,
        None,
        CLIP,
        "a1111",
    ),
    "compel": GoldenModel(
        replace(SMALL, windows=2, schedule=replace(SMALL.schedule, steps=2)),
        WORDPIECE,
        "a red++ apple on a (wooden table)0.6, " * 3 + "blurred--",
        "text-",
        12,
        None,
        None,
        None,
        None,
        "compel",
    ),
    "sdxl-interval": GoldenModel(
        _sdxl(guidance_shares=(0.5, 0.0)), FULL_CLIP, "a caf\u00e9!!", "blurred! text", 2**63, 7.5, None, None, CLIP
    ),
    "hints": GoldenModel(
        _steered(solver="dpm-solver++", steps=3),
        WORDPIECE,
        "a red apple, 3d",
        "text",
        11,
        None,
        None,
        hints=(Hinted(_ramps(16, 16), 0.75), Hinted(255 - _ramps(16, 16), 1.3)),
    ),
    "adapters": GoldenModel(
        _switched(solver="dpm-solver++", steps=3),
        WORDPIECE,
        "a red apple, 3d",
        "text",
        13,
        None,
        None,
        later=("wool",),
        scales=(("wool", 1.25), ("ink", -0.5)),
    ),
    "adapters-interval": GoldenModel(
        _switched(steps=2, guidance_shares=(1.0, 0.0)),
        WORDPIECE,
        "a green leaf",
        "",
        14,
        None,
        None,
        scales=(("clay", 0.7),),
    ),
    "hints-interval": GoldenModel(
        _steered(steps=2, guidance_shares=(1.0, 0.0)),
        WORDPIECE,
        "a green leaf",
        "",
        12,
        None,
        None,
        Redrawn(_ramps(16, 16), 1.0, _triangle(16)),
        hints=(Hinted(_triangle(16)[..., None].repeat(3, -1) * 255, 1.0), Hinted(_ramps(16, 16), 0.0)),
    ),
}
