"""Reads a ControlNet (`--controlnet`): a folder of diffusers' ControlNetModel, or its file with config.json beside it.

Its options are those of a U-Net without the way up, and a few of its own.  The weights are not read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_diffusion.config import ControlConfig
from mobile_diffusion.control_net import ControlNet
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.component import DIFFUSERS_STEM, read_component
from mobile_diffusion.formats.json_options import Accepted, JsonOptions
from mobile_diffusion.formats.unet_json import UNSUPPORTED, UP_OF_DOWN, read_unet
from mobile_diffusion.quoting import quoted
from mobile_diffusion.strict_json import read_object
from mobile_diffusion.tensor_layout import Layout, check_layout, read_layout
from mobile_diffusion.weights import refuse_pickle

CONFIG_FILE = "config.json"
CLASS = "ControlNetModel"
OWN: dict[str, Accepted] = {
    "conditioning_channels": (3,),
    "controlnet_conditioning_channel_order": ("rgb",),
    "global_pool_conditions": (False,),
}
"""Options of a ControlNet alone, with the values that are supported; the first is diffusers' default."""
HINT_CHANNELS = "conditioning_embedding_out_channels"


@dataclass(frozen=True)
class ControlFiles:
    """A ControlNet on disk whose weights have not been read."""

    config: ControlConfig
    layout: Layout
    files: tuple[Path, ...]


def read_control(path: Path, variant: str | None = None) -> ControlFiles:
    """Read a ControlNet from a folder, or from a .safetensors file, without its weights.

    Raises CheckpointError when it is missing, damaged, a pickle, or not a ControlNet that is supported.
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
    check_layout(lambda: ControlNet(config), layout, path)
    return ControlFiles(config, layout, (settings, *files))


def _read_config(file: Path) -> ControlConfig:
    values = read_object(file)
    if values.get("_class_name") != CLASS:
        raise CheckpointError(f"{file}: expected a {CLASS}, got {quoted(values.get('_class_name'))}; use a ControlNet")
    options = JsonOptions(file, values)
    options.require(OWN, UNSUPPORTED)
    channels = options.whole_list(HINT_CHANNELS, [16, 32, 96, 256])
    rest = {name: value for name, value in values.items() if name not in {*OWN, HINT_CHANNELS}}
    network, _ = read_unet(JsonOptions(file, {**rest, **_way_up(values)}))
    try:
        return ControlConfig(network, tuple(channels))
    except ConfigError as error:
        raise CheckpointError(f"{file}: {error}; {UNSUPPORTED}") from error


def _way_up(values: dict[str, Any]) -> dict[str, Any]:
    """The option of the levels on the way up that goes with those on the way down."""
    down = values.get("down_block_types")
    if not isinstance(down, list) or not all(kind in UP_OF_DOWN for kind in down):
        return {}
    return {"up_block_types": [UP_OF_DOWN[kind] for kind in reversed(down)]}
