"""Reads a diffusers unet/config.json into a `UNetConfig`.

Every option of diffusers' UNet2DConditionModel is either read or checked against the value that our U-Net implements.
Any other option is an error.
"""

from __future__ import annotations

from collections.abc import Sequence

from mobile_diffusion.config import UNetConfig, UNetLevel
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.json_options import EMA_NOTES, UPCAST_SOFTMAX, Accepted, JsonOptions
from mobile_diffusion.formats.unet_depths import Depths, depths_of, read_depths
from mobile_diffusion.time_embedding import SIZE_NUMBERS

DOWN = ("CrossAttnDownBlock2D", "DownBlock2D")
"""Levels on the way down: with a transformer after each ResNet block, and without.  UP lists those on the way up."""
UP = ("CrossAttnUpBlock2D", "UpBlock2D")
UP_OF_DOWN = dict(zip(DOWN, UP, strict=True))
MIDDLES: dict[str, tuple[int, int]] = {"UNetMidBlock2DCrossAttn": (2, 1), "UNetMidBlock2D": (1, 0)}
"""Kind of middle -> its numbers of ResNet blocks and transformers.  A null option means no middle."""

REQUIRED: dict[str, Accepted] = {
    "center_input_sample": (False,),
    "flip_sin_to_cos": (True,),
    "freq_shift": (0,),
    "downsample_padding": (1,),
    "mid_block_scale_factor": (1,),
    "act_fn": ("silu", "swish"),
    "norm_eps": (1e-5,),
    "encoder_hid_dim": (None,),
    "encoder_hid_dim_type": (None,),
    "num_attention_heads": (None,),
    "dual_cross_attention": (False,),
    "class_embed_type": (None,),
    "num_class_embeds": (None,),
    "class_embeddings_concat": (False,),
    "resnet_time_scale_shift": ("default",),
    "resnet_skip_time_act": (False,),
    "resnet_out_scale_factor": (1.0,),
    "time_embedding_type": ("positional",),
    "time_embedding_act_fn": (None,),
    "timestep_post_act": (None,),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "attention_type": ("default",),
    "mid_block_only_cross_attention": (None, False),
    "cross_attention_norm": (None,),
}
"""Values that our U-Net supports; the first is diffusers' default."""

INACTIVE = ("dropout", "addition_embed_type_num_heads")
"""Options without effect here: dropout applies to training only, and the other one applies only with an
addition_embed_type that is not supported."""

REFUSED_CHANNELS = {
    7: "an upscaler, whose U-Net also reads a picture",
    5: "a depth model, whose U-Net also reads a depth map",
}
"""Input channels of U-Nets that are not supported; `ModelConfig` says which are."""
UNSUPPORTED = "mobile-diffusion does not support it; use a relative of Stable Diffusion 1, 2 or XL"
REFINER_WIDTH, REFINER_NUMBERS = 1280, 5
"""Width of the pooled text of SDXL's refiner, and the numbers that it reads: size, crop and an aesthetic score."""
REFINER = "this is SDXL's refiner, which only redraws pictures of the base model; use the base model"


def read_unet(options: JsonOptions) -> tuple[UNetConfig, tuple[int, int] | None]:
    """Read the U-Net's configuration, and the height and width of the latents that it was trained on, if stated.

    Raises CheckpointError for an option that is unknown or has an unsupported value.
    """
    inputs = _input_channels(options)
    channels = options.whole_list("block_out_channels", [320, 640, 1280, 1280])
    levels, widths = len(channels), (channels[0], channels[-1])
    _require_plain(options, levels, widths[0])
    resnets = options.whole_list("layers_per_block", 2, length=levels)
    heads = options.whole_list("attention_head_dim", 8, length=levels)  # the name is wrong: it counts heads
    own = heads if len(set(heads)) > 1 else [None] * levels
    size = options.optional_whole_list("sample_size", length=2)
    depths, up_depths = read_depths(options, levels)
    up_resnets = [count + 1 for count in reversed(resnets)]
    pooled_width, size_width = _added(options)
    try:
        unet = UNetConfig(
            down=_levels(options, "down_block_types", DOWN, channels, resnets, own, depths),
            mid=_middle(options, widths[1], own[-1], depths[-1]),
            up=_levels(options, "up_block_types", UP, channels[::-1], up_resnets, own[::-1], up_depths),
            context_width=options.whole_list("cross_attention_dim", 1280, length=1)[0],
            in_channels=inputs,
            out_channels=options.whole("out_channels", 4),
            heads=heads[0],
            groups=options.whole("norm_num_groups", 32),
            linear_projection=options.flag("use_linear_projection", False),
            guidance_width=options.optional_whole("time_cond_proj_dim") or 0,
            upcast_attention=options.flag("upcast_attention", False),
            pooled_width=pooled_width,
            size_width=size_width,
        )
    except ConfigError as error:
        raise CheckpointError(f"{options.file}: {error}") from error
    options.finish()
    return unet, None if size is None else (size[0], size[1])


def _input_channels(options: JsonOptions) -> int:
    """Read the number of input channels; raise CheckpointError for those of a U-Net that is not supported."""
    inputs = options.whole("in_channels", 4)
    if inputs in REFUSED_CHANNELS:
        raise options.wrong("in_channels", "4", inputs, f"this is {REFUSED_CHANNELS[inputs]}; use an ordinary model")
    return inputs


def _added(options: JsonOptions) -> tuple[int, int]:
    """The widths of the pooled text and of each number of the picture's size that SDXL adds; (0, 0) for others."""
    kind = options.value("addition_embed_type")
    if kind not in (None, "text_time"):
        raise options.wrong("addition_embed_type", "'text_time' or None", kind, UNSUPPORTED)
    names = ("addition_time_embed_dim", "projection_class_embeddings_input_dim")
    if kind is None:
        options.require(dict.fromkeys(names, (None,)), UNSUPPORTED)
        return 0, 0
    each, whole = (options.whole(name) for name in names)
    pooled = whole - SIZE_NUMBERS * each
    if whole == REFINER_WIDTH + REFINER_NUMBERS * each:
        raise options.wrong(names[1], f"{REFINER_WIDTH + SIZE_NUMBERS * each}", whole, REFINER)
    if each < 1 or pooled < 1:
        raise options.wrong(names[1], f"more than {SIZE_NUMBERS} times {names[0]} ({each})", whole, UNSUPPORTED)
    return pooled, each


def _require_plain(options: JsonOptions, levels: int, channels: int) -> None:
    """Raise CheckpointError for an option whose value our U-Net does not support."""
    options.require(REQUIRED, UNSUPPORTED)
    options.require({"time_embedding_dim": (None, 4 * channels)}, UNSUPPORTED)
    options.require({"only_cross_attention": (False, [False] * levels)}, UNSUPPORTED)
    options.ignore(*INACTIVE, UPCAST_SOFTMAX, *EMA_NOTES)


def _levels(
    options: JsonOptions,
    name: str,
    kinds: tuple[str, str],
    channels: list[int],
    resnets: list[int],
    heads: Sequence[int | None],
    depths: Sequence[Depths],
) -> tuple[UNetLevel, ...]:
    """The levels on the way down or up; of the two `kinds`, only the first has transformers."""
    crossed, plain = kinds
    last_is_plain = name.startswith("down")
    default = [crossed] * 3 + [plain] if last_is_plain else [plain] + [crossed] * 3
    names = options.names(name, default)
    if len(names) != len(channels):
        raise options.wrong(name, f"{len(channels)} names, one per level", names)
    for kind in names:
        if kind not in kinds:
            raise options.wrong(name, f"each one of {crossed}, {plain}", kind, UNSUPPORTED)
    counts = [count if kind == crossed else 0 for kind, count in zip(names, resnets, strict=True)]
    every = [depths_of(options, depth, count) for depth, count in zip(depths, counts, strict=True)]
    return tuple(UNetLevel(*numbers) for numbers in zip(channels, resnets, counts, heads, every, strict=True))


def _middle(options: JsonOptions, channels: int, heads: int | None, depth: Depths) -> UNetLevel | None:
    kind = options.value("mid_block_type", "UNetMidBlock2DCrossAttn")
    if kind is None:
        return None
    if not isinstance(kind, str) or kind not in MIDDLES:
        raise options.wrong("mid_block_type", f"one of {', '.join(MIDDLES)}", kind, UNSUPPORTED)
    resnets, transformers = MIDDLES[kind]
    first = depth if isinstance(depth, int) else depth[0]  # as diffusers, which reads the first of a list
    return UNetLevel(channels, resnets, transformers, heads, depths_of(options, first, transformers))
