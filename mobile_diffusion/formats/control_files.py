"""Reads a ControlNet or a T2I-Adapter (`--controlnet`): a folder of diffusers' ControlNetModel or T2IAdapter, or its
file with config.json beside it.

The options of a ControlNet are those of a U-Net without the way up, and a few of its own.  No weights are read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_diffusion.config import ControlConfig, HintNet, T2IAdapterConfig
from mobile_diffusion.control_net import ControlNet
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.component import DIFFUSERS_STEM, read_component
from mobile_diffusion.formats.json_options import Accepted, JsonOptions
from mobile_diffusion.formats.unet_json import UNSUPPORTED, UP_OF_DOWN, read_unet
from mobile_diffusion.quoting import quoted
from mobile_diffusion.strict_json import read_object
from mobile_diffusion.t2i_adapter import T2IAdapter
from mobile_diffusion.tensor_layout import Layout, check_layout, read_layout
from mobile_diffusion.weights import refuse_pickle

CONFIG_FILE = "config.json"
CLASS, ADAPTER_CLASS = "ControlNetModel", "T2IAdapter"
OWN: dict[str, Accepted] = {
    "conditioning_channels": (3,),
    "controlnet_conditioning_channel_order": ("rgb",),
    "global_pool_conditions": (False,),
}
"""Options of a ControlNet alone, with the values that are supported; the first is diffusers' default."""
HINT_CHANNELS = "conditioning_embedding_out_channels"


@dataclass(frozen=True)
class ControlFiles:
    """A ControlNet or T2I-Adapter on disk whose weights have not been read."""

    config: HintNet
    layout: Layout
    files: tuple[Path, ...]


def read_control(path: Path, variant: str | None = None) -> ControlFiles:
    """Read a ControlNet or a T2I-Adapter from a folder, or from a .safetensors file, without its weights.

    Raises CheckpointError when it is missing, damaged, a pickle, or not one that is supported.
    """
    refuse_pickle(path)
    folder = path if path.is_dir() else path.parent
    if not path.exists():
        raise CheckpointError(f"{path}: expected a ControlNet, a folder or a .safetensors file, got nothing there")
    settings = folder / CONFIG_FILE
    if not settings.is_file():
        raise CheckpointError(f"{settings}: expected the ControlNet's configuration, got no such file; put it there")
    config = _read_config(settings)
    layout, files = read_component(path, DIFFUSERS_STEM, variant) if path.is_dir() else (read_layout(path), (path,))
    check_layout(lambda: ControlNet(config) if isinstance(config, ControlConfig) else T2IAdapter(config), layout, path)
    return ControlFiles(config, layout, (settings, *files))


def _read_config(file: Path) -> HintNet:
    values = read_object(file)
    if values.get("_class_name") == ADAPTER_CLASS:
        return _read_adapter(file, values)
    if values.get("_class_name") != CLASS:
        got = quoted(values.get("_class_name"))
        raise CheckpointError(f"{file}: expected a {CLASS} or a {ADAPTER_CLASS}, got {got}; use one of these")
    options = JsonOptions(file, values)
    options.require(OWN, UNSUPPORTED)
    channels = options.whole_list(HINT_CHANNELS, [16, 32, 96, 256])
    rest = {name: value for name, value in values.items() if name not in {*OWN, HINT_CHANNELS}}
    network, _ = read_unet(JsonOptions(file, {**rest, **_way_up(values)}))
    try:
        return ControlConfig(network, tuple(channels))
    except ConfigError as error:
        raise CheckpointError(f"{file}: {error}; {UNSUPPORTED}") from error


def _read_adapter(file: Path, values: dict[str, Any]) -> T2IAdapterConfig:
    options, default = JsonOptions(file, values), T2IAdapterConfig()
    known = {"adapter_type", "in_channels", "channels", "num_res_blocks", "downscale_factor"}
    if unknown := next((name for name in values if name not in known and not name.startswith("_")), None):
        raise CheckpointError(f"{file}: expected options of a {ADAPTER_CLASS}, got {quoted(unknown)}; {UNSUPPORTED}")
    try:
        return T2IAdapterConfig(
            str(values.get("adapter_type", default.kind)),
            options.whole("in_channels", default.in_channels),
            tuple(options.whole_list("channels", list(default.channels))),
            options.whole("num_res_blocks", default.resnets),
            options.whole("downscale_factor", default.factor),
        )
    except ConfigError as error:
        raise CheckpointError(f"{file}: {error}; {UNSUPPORTED}") from error


def _way_up(values: dict[str, Any]) -> dict[str, Any]:
    """The option of the levels on the way up that goes with those on the way down."""
    down = values.get("down_block_types")
    if not isinstance(down, list) or not all(kind in UP_OF_DOWN for kind in down):
        return {}
    return {"up_block_types": [UP_OF_DOWN[kind] for kind in reversed(down)]}
