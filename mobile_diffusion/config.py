"""Configurations of architectures and schedules: frozen dataclasses, which config_json.py reads and writes.

A `ModelConfig` contains everything that is needed to build and export a model.  The U-Net is a list of levels with
their numbers of channels, ResNet blocks and spatial transformers.  So Stable Diffusion 1.5, SDXL, SnapFusion and the
emoji model are presets of the same module.  This file has no weights and does not import torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from mobile_diffusion.adapter_config import AdapterConfig as AdapterConfig
from mobile_diffusion.autoencoder_config import AutoencoderConfig, TinyAutoencoderConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.field_rules import require
from mobile_diffusion.model_limits import SIDE, TRAIN_STEPS, WINDOWS
from mobile_diffusion.t2i_adapter_config import FeatureMap
from mobile_diffusion.t2i_adapter_config import HintNet as HintNet
from mobile_diffusion.t2i_adapter_config import T2IAdapterConfig as T2IAdapterConfig
from mobile_diffusion.text_encoder_config import BertConfig as BertConfig
from mobile_diffusion.text_encoder_config import ClipPairConfig as ClipPairConfig
from mobile_diffusion.text_encoder_config import ClipTextConfig as ClipTextConfig
from mobile_diffusion.text_encoder_config import TextConfig as TextConfig
from mobile_diffusion.unet_config import ControlConfig as ControlConfig
from mobile_diffusion.unet_config import UNetConfig as UNetConfig
from mobile_diffusion.unet_config import UNetLevel as UNetLevel

BETA_SCHEDULES = ("scaled_linear", "linear", "cosine")
PREDICTIONS = ("v", "epsilon", "sample", "flow")
SPACINGS = ("trailing", "leading", "linspace")
SOLVERS = (
    *("ddim", "dpm-solver++", "euler", "pndm", "lcm", "ddpm", "dpm-solver", "sde-dpm-solver", "sde-dpm-solver++"),
    *("deis", "unipc", "lms", "euler-ancestral", "heun", "kdpm2", "kdpm2-ancestral", "tcd"),
)
CURVES = ("karras", "exponential", "beta", "lu")
FINALS = ("clean", "first")
GUIDANCE_KINDS = ("cfg", "distilled")
TASKS = ("draw", "inpaint", "edit")
"""What a U-Net does: "draw" from text; "inpaint", which also reads a mask and a picture; "edit" a picture."""
APPLIED_GUIDANCE = (*GUIDANCE_KINDS, "none")
MAX_GUIDANCE = 30.0
LEAST_TILE = 8
"""Latents along the side of a tile; a smaller one would be mostly overlap and padding."""


@dataclass(frozen=True)
class ScheduleConfig:
    """The diffusion process, and the sampler that exported artifacts contain."""

    train_steps: int = 1000
    beta_schedule: str = "scaled_linear"
    beta_start: float = 0.00085
    beta_end: float = 0.012
    prediction: str = "epsilon"
    spacing: str = "trailing"
    steps: int = 8
    guidance: float = 7.5
    """Default scale of classifier-free guidance, up to 30, where 1 or less is no guidance; for a distilled model, the
    scale in its weights."""
    solver: str = "ddim"
    offset: int = 0
    """Added to every timestep of "leading" spacing (diffusers' steps_offset)."""
    final: str = "clean"
    """Where the last step ends: at "clean" latents, or at the noise level of the "first" training timestep."""
    zero_terminal_snr: bool = False
    """Whether betas are rescaled so that the last timestep is pure noise (Lin et al. 2023, algorithm 1)."""
    karras: bool = False
    """Whether noise levels are spaced as in Karras et al. 2022, eq. 5; so are, each in its way, the next three."""
    exponential: bool = False
    beta: bool = False
    lu: bool = False
    lower_order_final: bool = True
    """Whether a multistep solver ends with steps of a lower order; except for unipc, with fewer than 15 steps only."""
    euler_at_final: bool = False
    """Whether the dpm solvers end with a first-order step whatever the number of steps."""
    order: int = 2
    """Order of dpm-solver and its relatives, deis and unipc."""
    variant: str = ""
    """Formula of a solver that has several, such as "heun" for dpm-solver++; empty for the first in its table."""
    uncorrected: tuple[int, ...] = ()
    """Steps that unipc does not correct."""
    eta: float | None = None
    """Share of fresh noise at each step: 0 to 1 for ddim (None: 0) and tcd (None: 0.3, its "gamma")."""
    shift: float = 1.0
    """Time shift s of a flow: sigma becomes s sigma / (1 + (s - 1) sigma)."""
    dynamic_shift: bool = False
    """Whether the shift was computed from the size of the picture; then it is not applied to the range itself."""
    original_steps: int = 50
    """Steps of the distilled solver, from which the lcm solver chooses its own."""
    guidance_shares: tuple[float, ...] = ()
    """Share of the guidance at each evaluation of a whole drawing: 1 for all of it, 0 for none, which takes one
    evaluation of the network instead of two; () for all of it at every step."""
    guidance_kind: str = "cfg"
    """"cfg": two evaluations of the U-Net per step, if `guidance` is above 1.  "distilled": one; the scale is in the
    weights or is embedded."""

    def __post_init__(self) -> None:
        require(self.beta_schedule in BETA_SCHEDULES, self, "beta_schedule", f"one of {BETA_SCHEDULES}")
        require(self.prediction in PREDICTIONS, self, "prediction", f"one of {PREDICTIONS}")
        require(self.spacing in SPACINGS, self, "spacing", f"one of {SPACINGS}")
        require(self.solver in SOLVERS, self, "solver", f"one of {SOLVERS}")
        require(self.final in FINALS, self, "final", f"one of {FINALS}")
        require(self.guidance_kind in GUIDANCE_KINDS, self, "guidance_kind", f"one of {GUIDANCE_KINDS}")
        require(1 <= self.train_steps <= TRAIN_STEPS, self, "train_steps", f"1 to {TRAIN_STEPS}")
        require(1 <= self.steps <= self.train_steps, self, "steps", f"1 to {self.train_steps}")
        require(0 <= self.offset < self.train_steps, self, "offset", f"0 to {self.train_steps - 1}")
        require(1 <= self.original_steps <= self.train_steps, self, "original_steps", f"1 to {self.train_steps}")
        require(0 < self.beta_start < self.beta_end < 1, self, "beta_end", "0 < beta_start < beta_end < 1")
        require(-math.inf < self.guidance <= MAX_GUIDANCE, self, "guidance", f"a number up to {MAX_GUIDANCE:g}")
        require(1 <= self.order <= 4, self, "order", "1 to 4")
        require(self.eta is None or 0 <= self.eta <= 1, self, "eta", "0 to 1, or none")
        shares = all(0 <= share <= 1 for share in self.guidance_shares)
        require(shares, self, "guidance_shares", "numbers from 0 to 1")
        guided = not self.guidance_shares or (any(self.guidance_shares) and self.applied_guidance == "cfg")
        require(guided, self, "guidance_shares", "guidance_kind 'cfg', a guidance above 1 and a share above 0")
        require(0 < self.shift < math.inf, self, "shift", "a positive number")
        require(all(step >= 0 for step in self.uncorrected), self, "uncorrected", "numbers of steps")
        for later, name in enumerate(CURVES, 1):
            alone = not (getattr(self, name) and any(getattr(self, other) for other in CURVES[later:]))
            require(alone, self, name, f"at most one of {', '.join(CURVES)} to be true")

    @property
    def applied_guidance(self) -> str:
        """How a picture is guided: `guidance_kind`, or "none" (one evaluation a step) for "cfg" at a scale up to 1."""
        return "none" if self.guidance_kind == "cfg" and self.guidance <= 1 else self.guidance_kind

    @property
    def curve(self) -> str:
        """How noise levels are spaced: one of `CURVES`, or "" for those of the timesteps."""
        return next((name for name in CURVES if getattr(self, name)), "")


@dataclass(frozen=True)
class ModelConfig:
    """One text-to-image model, as in `model.json`."""

    name: str
    licence: str
    height: int
    """Height of the pictures in pixels."""
    width: int
    unet: UNetConfig
    autoencoder: AutoencoderConfig | TinyAutoencoderConfig
    text: TextConfig
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    tokenizer: str = "wordpiece"
    styles: tuple[str, ...] = ()
    """Styles of pictures that the model was trained on, which a prompt names at its end ("a cat, 3d"); apps offer them.
    They change nothing that the model computes, and have a file of their own beside `model.json`."""
    windows: int = 1
    """Windows of the text encoder's length that a prompt has; their contexts are joined along the tokens."""
    tile: int = 0
    """Side in pixels of the tiles by which pictures are decoded and encoded (tiles.py); 0 for whole pictures."""
    controls: tuple[HintNet, ...] = ()
    """ControlNets or T2I-Adapters that steer the U-Net, each by a picture; they are not part of `model.json`."""
    adapters: AdapterConfig | None = None
    """Room in the U-Net for adapters that a drawing turns on and off; not part of `model.json` either."""

    def __post_init__(self) -> None:
        require(len({"", *self.styles}) == 1 + len(self.styles), self, "styles", "different names, none empty")
        require(1 <= self.windows <= WINDOWS, self, "windows", f"1 to {WINDOWS}")
        kinds = ("wordpiece", "clip-bpe", "clip-bpe-pair")
        require(self.tokenizer in kinds, self, "tokenizer", f"one of {kinds}")
        unit = self.autoencoder.factor * self.unet.downscale
        for name in ("height", "width"):
            size = getattr(self, name)
            require(0 < size <= SIDE and size % unit == 0, self, name, f"a multiple of {unit} up to {SIDE}")
        smallest, multiple = LEAST_TILE * self.autoencoder.factor, self.autoencoder.factor
        fits = self.tile == 0 or (smallest <= self.tile <= SIDE and self.tile % multiple == 0)
        require(fits, self, "tile", f"0, or a multiple of {multiple} from {smallest} to {SIDE}")
        latents = self.autoencoder.latent_channels
        require(self.unet.out_channels == latents, self, "unet", f"{latents} channels out, as the latents")
        inputs = {latents: "the latents'", 2 * latents + 1: "an inpainting network's", 2 * latents: "an editing one's"}
        named = " or ".join(f"{count} ({whose})" for count, whose in inputs.items())
        require(self.unet.in_channels in inputs, self, "unet", f"{named} channels in")
        require(self.unet.context_width == self.text.width, self, "unet", f"context_width {self.text.width}")
        pooled = self.text.pooled_width
        require(self.unet.pooled_width == pooled, self, "unet", f"pooled_width {pooled}, as the text encoder")
        embedded = self.unet.guidance_width == 0 or self.schedule.guidance_kind == "distilled"
        require(embedded, self, "schedule", "guidance_kind 'distilled', as the U-Net embeds the scale")
        plain = f"{latents} channels in with a pooled text: inpainting and editing networks of SDXL are not supported"
        require(self.task == "draw" or not pooled, self, "unet", plain)
        if self.task == "edit":
            shares = not self.schedule.guidance_shares
            require(shares, self, "schedule", "no guidance_shares, as three evaluations guide an edited picture")
        for control in self.controls:
            if problem := control.misfit(self.unet, self.autoencoder.factor):
                raise ConfigError(f"{control.title}: {problem}; use one that was made for this model")
        if self.controls:
            self.require_text_alone(self.controls[0].title)
            alike = len({control.title for control in self.controls}) == 1
            require(alike, self, "controls", "ControlNets or T2I-Adapters, not both")
            pyramids = [control for control in self.controls if isinstance(control, T2IAdapterConfig)]
            maps = {control.maps(self.autoencoder.factor) for control in pyramids}
            require(len(maps) <= 1, self, "controls", "T2I-Adapters with as many levels")
        if self.adapters is not None:
            self.require_text_alone("adapter")

    @property
    def task(self) -> str:
        """What the U-Net was made for, one of `TASKS`, by the channels that it reads besides the latents."""
        latents = self.autoencoder.latent_channels
        return {0: "draw", latents + 1: "inpaint", latents: "edit"}[self.unet.in_channels - latents]

    def require_text_alone(self, purpose: str) -> None:
        """Raise ConfigError for a U-Net that also reads a picture."""
        if self.task != "draw":
            does = {"inpaint": "inpaints", "edit": "edits pictures"}[self.task]
            wanted = "expected a U-Net that reads text alone"
            raise ConfigError(f"{purpose}: {wanted}, got one that {does}; use another model")

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """Shape (1, C, h, w) of the latents."""
        factor = self.autoencoder.factor
        return (1, self.autoencoder.latent_channels, self.height // factor, self.width // factor)

    @property
    def steering_maps(self) -> tuple[FeatureMap, ...]:
        """The maps of a T2I-Adapter, which are the same for all; () without."""
        first = self.controls[0] if self.controls else None
        return first.maps(self.autoencoder.factor) if isinstance(first, T2IAdapterConfig) else ()

    @property
    def hint_shape(self) -> tuple[int, int, int, int]:
        """Shape (n, K, h, w) of what the networks that read n hints make of them; all maps of one are K channels."""
        rows = sum(each.rows for each in self.steering_maps) or self.unet.down[0].channels
        return (len(self.controls), rows, *self.latent_shape[2:])

    @property
    def tile_shape(self) -> tuple[int, int, int, int]:
        """Shape (1, C, h, w) of the latents that are decoded at once: those of a tile, or all."""
        batch, channels, *sides = self.latent_shape
        side = self.tile // self.autoencoder.factor
        height, width = (min(each, side or each) for each in sides)
        return (batch, channels, height, width)

    @property
    def image_shape(self) -> tuple[int, int, int, int]:
        """Shape (1, 3, H, W) of a picture."""
        return (1, 3, self.height, self.width)

    @property
    def context_shape(self) -> tuple[int, int, int]:
        """Shape (1, N * L, D) of an encoded prompt of N windows."""
        return (1, self.windows * self.text.max_tokens, self.text.width)
