"""Every architecture and schedule as plain data: frozen dataclasses, read from and written to JSON.

A `ModelConfig` says all that is needed to build a model and to export it.  The U-Net is a list of stages that
state their channels, ResNet blocks and spatial transformers, so Stable Diffusion 1.5, BK-SDM, SnapFusion's
table and our emoji model are presets of one module.  No weights and no torch here.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from mobile_diffusion.errors import ConfigError

Config = TypeVar("Config")


def _require(condition: bool, owner: object, name: str, rule: str) -> None:
    """Raise `ConfigError` naming class, field, value and rule unless `condition` holds."""
    if not condition:
        value = getattr(owner, name)
        raise ConfigError(f"{type(owner).__name__}.{name} is {value!r}; expected {rule}")


def _require_positive(owner: object, *names: str) -> None:
    for name in names:
        _require(getattr(owner, name) > 0, owner, name, "a positive number")


@dataclass(frozen=True)
class Stage:
    """One resolution level of the U-Net, on its way down or up, or the middle."""

    channels: int
    """Channels of every ResNet block and transformer of the stage."""
    resnets: int
    """ResNet blocks ("RN" in SnapFusion's table)."""
    transformers: int
    """Spatial transformers ("CA"), spread evenly behind the ResNet blocks; may exceed `resnets`."""

    def __post_init__(self) -> None:
        _require_positive(self, "channels", "resnets")
        _require(self.transformers >= 0, self, "transformers", "zero or more")

    def transformers_after(self, resnet: int) -> int:
        """Number of transformers that follow ResNet block `resnet` of this stage."""
        return (resnet + 1) * self.transformers // self.resnets - resnet * self.transformers // self.resnets


@dataclass(frozen=True)
class UNetConfig:
    """The noise-prediction network.  Defaults are those that all Stable Diffusion 1 relatives share."""

    down: tuple[Stage, ...]
    """Stages from full to lowest resolution; all but the last end in a downsampling."""
    mid: Stage | None
    """The middle; None leaves it out (BK-SDM-tiny). Its transformers follow ResNet block 0, 1, ..."""
    up: tuple[Stage, ...]
    """Stages from lowest to full resolution; each has one ResNet block more than its twin in `down`."""
    context_width: int
    """Width D of the text encoder's output."""
    in_channels: int = 4
    out_channels: int = 4
    heads: int = 8
    """Attention heads of every transformer."""
    groups: int = 32
    """Groups of every group normalisation."""

    def __post_init__(self) -> None:
        _require_positive(self, "context_width", "in_channels", "out_channels", "heads", "groups")
        _require(len(self.down) > 0 and len(self.down) == len(self.up), self, "up", "as many stages as `down`")
        for stage in (*self.down, *self.up, *([self.mid] if self.mid else [])):
            _require(stage.channels % self.groups == 0, self, "groups", f"a divisor of {stage.channels} channels")
            _require(stage.channels % self.heads == 0, self, "heads", f"a divisor of {stage.channels} channels")
        for down, up in zip(self.down, reversed(self.up), strict=True):
            fits = up.channels == down.channels and up.resnets == down.resnets + 1
            _require(fits, self, "up", "each stage the channels of its twin in `down` and one ResNet block more")

    @property
    def time_width(self) -> int:
        """Width of the time embedding: four times the first stage's channels."""
        return 4 * self.down[0].channels

    @property
    def downscale(self) -> int:
        """Factor between the resolution of the latents and that of the innermost stage."""
        return int(2 ** (len(self.down) - 1))


@dataclass(frozen=True)
class AutoencoderConfig:
    """The KL autoencoder of latent diffusion (Rombach et al. 2022), in diffusers' layout."""

    channels: tuple[int, ...]
    """Channels per resolution level; each level but the last halves the side."""
    latent_channels: int = 4
    resnets: int = 2
    """ResNet blocks a level of the encoder; the decoder has one more."""
    groups: int = 32
    scaling_factor: float = 0.18215
    """Latents are multiplied by it, so that their standard deviation is about one."""

    def __post_init__(self) -> None:
        _require(len(self.channels) > 0, self, "channels", "at least one level")
        _require_positive(self, "latent_channels", "resnets", "groups", "scaling_factor")
        for channels in self.channels:
            _require(channels % self.groups == 0, self, "groups", f"a divisor of {channels} channels")

    @property
    def factor(self) -> int:
        """Pixels a latent, along one side."""
        return int(2 ** (len(self.channels) - 1))


@dataclass(frozen=True)
class BertConfig:
    """A BERT encoder (Devlin et al. 2019), such as MiniLM."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    intermediate: int
    positions: int = 512
    token_types: int = 2
    epsilon: float = 1e-12
    max_tokens: int = 24
    """Length L of every encoded prompt, start and end token included."""
    kind: Literal["bert"] = "bert"

    def __post_init__(self) -> None:
        _require(self.kind == "bert", self, "kind", "'bert'")
        _require(self.width % self.heads == 0, self, "heads", f"a divisor of the width {self.width}")
        _require(2 < self.max_tokens <= self.positions, self, "max_tokens", f"3 to {self.positions}")


@dataclass(frozen=True)
class ClipTextConfig:
    """The text tower of CLIP (Radford et al. 2021), as Stable Diffusion uses it."""

    vocabulary: int = 49408
    width: int = 768
    layers: int = 12
    heads: int = 12
    intermediate: int = 3072
    positions: int = 77
    activation: Literal["quick_gelu", "gelu"] = "quick_gelu"
    epsilon: float = 1e-5
    max_tokens: int = 77
    kind: Literal["clip"] = "clip"

    def __post_init__(self) -> None:
        _require(self.kind == "clip", self, "kind", "'clip'")
        _require(self.activation in ("quick_gelu", "gelu"), self, "activation", "'quick_gelu' or 'gelu'")
        _require(self.width % self.heads == 0, self, "heads", f"a divisor of the width {self.width}")
        _require(2 < self.max_tokens <= self.positions, self, "max_tokens", f"3 to {self.positions}")


TextConfig = BertConfig | ClipTextConfig
BETA_SCHEDULES = ("scaled_linear", "linear", "cosine")
PREDICTIONS = ("v", "epsilon")
SPACINGS = ("trailing", "leading", "linspace")


@dataclass(frozen=True)
class ScheduleConfig:
    """The diffusion process and the sampler that the exported artifacts carry inside."""

    train_steps: int = 1000
    beta_schedule: str = "scaled_linear"
    beta_start: float = 0.00085
    beta_end: float = 0.012
    prediction: str = "epsilon"
    spacing: str = "trailing"
    steps: int = 8
    guidance: float = 7.5
    """Default scale of classifier-free guidance."""

    def __post_init__(self) -> None:
        _require(self.beta_schedule in BETA_SCHEDULES, self, "beta_schedule", f"one of {BETA_SCHEDULES}")
        _require(self.prediction in PREDICTIONS, self, "prediction", f"one of {PREDICTIONS}")
        _require(self.spacing in SPACINGS, self, "spacing", f"one of {SPACINGS}")
        _require(self.train_steps > 0, self, "train_steps", "a positive number")
        _require(1 <= self.steps <= self.train_steps, self, "steps", f"1 to {self.train_steps}")
        _require(0 < self.beta_start < self.beta_end < 1, self, "beta_end", "0 < beta_start < beta_end < 1")
        _require(0 <= self.guidance <= 30, self, "guidance", "0 to 30")


@dataclass(frozen=True)
class ModelConfig:
    """One text-to-image model: what `model.json` holds."""

    name: str
    licence: str
    image_size: int
    unet: UNetConfig
    autoencoder: AutoencoderConfig
    text: TextConfig
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    tokenizer: str = "wordpiece"

    def __post_init__(self) -> None:
        kinds = ("wordpiece", "clip-bpe")
        _require(self.tokenizer in kinds, self, "tokenizer", f"one of {kinds}")
        unit = self.autoencoder.factor * self.unet.downscale
        rule = f"a positive multiple of {unit}"
        _require(self.image_size > 0 and self.image_size % unit == 0, self, "image_size", rule)
        same = self.unet.in_channels == self.unet.out_channels == self.autoencoder.latent_channels
        _require(same, self, "unet", f"{self.autoencoder.latent_channels} channels in and out, as the latents")
        _require(self.unet.context_width == self.text.width, self, "unet", f"context_width {self.text.width}")

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """Shape (1, C, h, w) of the latents."""
        side = self.image_size // self.autoencoder.factor
        return (1, self.autoencoder.latent_channels, side, side)

    @property
    def context_shape(self) -> tuple[int, int, int]:
        """Shape (1, L, D) of an encoded prompt."""
        return (1, self.text.max_tokens, self.text.width)


def to_dict(config: object) -> dict[str, Any]:
    """A config dataclass as nested plain dictionaries and lists, ready for JSON."""
    return dataclasses.asdict(config)  # type: ignore[call-overload]


def from_dict(kind: type[Config], values: object) -> Config:
    """Build a config dataclass from what `to_dict` (through JSON) gave.

    Raises `ConfigError` naming an unknown, missing or wrongly typed field.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{kind.__name__}: expected an object, got {type(values).__name__}")
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ConfigError(f"{kind.__name__}: unknown field {unknown[0]!r}; known are {sorted(hints)}")
    try:
        return kind(**{name: _convert(hints[name], value, name) for name, value in values.items()})
    except TypeError as error:
        raise ConfigError(f"{kind.__name__}: {str(error).split(')', 1)[-1].strip()}") from None


def _convert(hint: Any, value: object, name: str) -> object:
    """`value` as JSON gives it, in the type `hint` asks for."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType or origin is typing.Union:
        return _convert_union(arguments, value, name)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"field {name!r}: expected a list, got {value!r}")
        return tuple(_convert(arguments[0], item, name) for item in value)
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value)
    if origin is Literal:
        return value
    if hint is float and type(value) in (int, float):
        return float(typing.cast(float, value))
    if type(value) is not hint:
        raise ConfigError(f"field {name!r}: expected {hint.__name__}, got {value!r}")
    return value


def _convert_union(arguments: tuple[Any, ...], value: object, name: str) -> object:
    """Choose the member of an optional, or of a union of dataclasses told apart by their `kind`."""
    if value is None and type(None) in arguments:
        return None
    classes = [argument for argument in arguments if argument is not type(None)]
    if len(classes) == 1:
        return _convert(classes[0], value, name)
    kind = value.get("kind") if isinstance(value, dict) else None
    by_kind = {cls.kind: cls for cls in classes}
    if kind not in by_kind:
        raise ConfigError(f"field {name!r}: kind is {kind!r}; expected one of {sorted(by_kind)}")
    return from_dict(by_kind[kind], value)
