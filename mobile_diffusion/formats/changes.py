"""Applies `OpenOptions` to a checkpoint that is being opened.  Only headers and settings are read, no weights."""

from __future__ import annotations

import dataclasses
import functools
import logging
from typing import Any

from mobile_diffusion.config import CURVES, ClipPairConfig, ClipTextConfig, ScheduleConfig
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.adapter_files import open_adapter, read_factors, room_for
from mobile_diffusion.formats.checkpoint_files import CheckpointFiles, builders
from mobile_diffusion.formats.control_files import read_control
from mobile_diffusion.formats.embeddings import add_embeddings
from mobile_diffusion.formats.lora import joined, lora_adapter
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.formats.tiny_decoder import read_decoder
from mobile_diffusion.formats.vae_source import read_vae
from mobile_diffusion.schedule import row_shares, shares_within, step_table
from mobile_diffusion.schedule.solvers import TABLES
from mobile_diffusion.tensor_layout import check_layout
from mobile_diffusion.text_encoder import skip_last_layers, without_skipped_layers

LOGGER = logging.getLogger(__name__)
XL_SIDE = 512
"""Pixels; diffusers' documentation of SDXL says that no size below works well."""


def apply(options: OpenOptions, source: CheckpointFiles) -> CheckpointFiles:
    """Return the checkpoint with the options applied, in the order of the steps below.

    Raises ConfigError or CheckpointError for the first option that does not fit the checkpoint.
    """
    merged = (_merge_loras, _add_adapters, _skip_layers)
    for step in (_resize, _reschedule, _replace_autoencoder, _add_controls, *merged, _lengthen, _divide):
        source = step(options, source)
    return add_embeddings(source, options.embeddings)


def _resize(options: OpenOptions, source: CheckpointFiles) -> CheckpointFiles:
    """Change the picture size, which `ModelConfig` checks; warn of one that is too small for SDXL."""
    given = _given(height=options.height, width=options.width)
    found = _with_config(source, **given)
    if given and found.config.unet.pooled_width and min(given.values()) < XL_SIDE:
        size = f"{found.config.width}x{found.config.height}"
        LOGGER.warning("--size: SDXL draws badly below %d pixels a side, got %s; give a larger size", XL_SIDE, size)
    return found


def _reschedule(options: OpenOptions, source: CheckpointFiles) -> CheckpointFiles:
    """Change the sampling schedule; the noise levels of training stay the same."""
    own, wanted = source.config.schedule, options.guidance
    fixed = (options.guidance_kind or own.guidance_kind) == own.guidance_kind == "distilled"
    if fixed and not source.config.unet.guidance_width and wanted not in (None, own.guidance):
        raise ConfigError(f"guidance: expected {own.guidance:g}, which is in this model's weights, got {wanted:g}")
    fresh = {} if options.solver in (None, own.solver) else _without_details(own, str(options.solver))
    given = fresh | _given(
        steps=options.steps,
        solver=options.solver,
        spacing=options.spacing,
        eta=options.eta,
        guidance=options.guidance,
        guidance_kind=options.guidance_kind,
    )
    schedule = _guided(options, dataclasses.replace(own, **given))
    return _with_config(source, schedule=schedule)


def _guided(options: OpenOptions, schedule: ScheduleConfig) -> ScheduleConfig:
    """Choose the guidance of each step; raises ConfigError when the combination is not supported."""
    table, shares = step_table(schedule), options.guidance_shares or schedule.guidance_shares
    if options.guidance_interval is not None:
        if options.guidance_shares:
            raise ConfigError("guidance_interval: expected none beside guidance_shares, got both; leave one out")
        shares = shares_within(options.guidance_interval, len(table.rows()))
    guided = dataclasses.replace(schedule, guidance_shares=shares)
    row_shares(guided, table)
    return guided


def _without_details(own: ScheduleConfig, solver: str) -> dict[str, Any]:
    """What a change to another solver resets: the details of the old one, and a curve that the new one lacks."""
    known = TABLES[solver].curves if solver in TABLES else CURVES
    curves = {name: False for name in CURVES if name not in known}
    return {"variant": "", "eta": None, "order": 2, "uncorrected": (), **curves}


def _replace_autoencoder(options: OpenOptions, source: CheckpointFiles) -> CheckpointFiles:
    """Replace the autoencoder by another one for latents of the same shape."""
    path = options.vae or options.decoder
    if path is None:
        return source
    decoder, own = (read_vae if options.vae else read_decoder)(path), source.config.autoencoder
    wanted, got = (own.latent_channels, own.factor), (decoder.config.latent_channels, decoder.config.factor)
    if wanted != got:
        reason = f"expected {wanted[0]} latent channels, one for {wanted[1]} pixels a side, got {got[0]} and {got[1]}"
        raise CheckpointError(f"{path}: {reason}; use an autoencoder of the same latents")
    source = _with_config(source, autoencoder=decoder.config)
    check_layout(builders(source.config)["autoencoder"], decoder.layout, path)
    return dataclasses.replace(
        source,
        layouts={**source.layouts, "autoencoder": decoder.layout},
        files=(*source.files, *decoder.files),
        variations=(*source.variations, f"autoencoder of {path.name}"),
    )


def _add_controls(options: OpenOptions, source: CheckpointFiles) -> CheckpointFiles:
    """Add the ControlNets or T2I-Adapters, in order."""
    if not options.controlnets:
        return source
    found = [read_control(path, options.variant) for path in options.controlnets]
    for path, control in zip(options.controlnets, found, strict=True):
        if problem := control.config.misfit(source.config.unet, source.config.autoencoder.factor):
            raise CheckpointError(f"{path}: {problem}; use a {control.config.title} that was made for this model")
    layout = {f"{number}.{name}": each for number, one in enumerate(found) for name, each in one.layout.items()}
    titles = [control.config.title for control in found]
    names = [f"{title} {path.resolve().name}" for title, path in zip(titles, options.controlnets, strict=True)]
    return dataclasses.replace(
        _with_config(source, controls=tuple(control.config for control in found)),
        layouts={**source.layouts, "controls": layout},
        files=(*source.files, *(file for control in found for file in control.files)),
        variations=(*source.variations, *names),
    )


def _merge_loras(options: OpenOptions, source: CheckpointFiles) -> CheckpointFiles:
    """Add the LoRAs, which are merged while weights are read.

    This runs before `_skip_layers`, because a LoRA must fit the complete model.
    """
    adapters = [lora_adapter(path, scale, source) for path, scale in options.loras]
    return dataclasses.replace(
        source,
        files=(*source.files, *(file for adapter in adapters for file in adapter.files)),
        adapters=(*source.adapters, *([joined(adapters)] if adapters else [])),
        variations=(*source.variations, *(f"LoRA {path.name} at scale {scale:g}" for path, scale in options.loras)),
    )


def _add_adapters(options: OpenOptions, source: CheckpointFiles) -> CheckpointFiles:
    """Make room for the adapters that a drawing turns on and off; their factors are read with the weights."""
    if not options.adapters:
        return source
    found = [open_adapter(name, path, source) for name, path in options.adapters]
    return dataclasses.replace(
        _with_config(source, adapters=room_for(found, source)),
        files=(*source.files, *(file for adapter in found for file in adapter.files)),
        read_factors=tuple(functools.partial(read_factors, adapter) for adapter in found),
        variations=(*source.variations, *(f"adapter {name} of {path.name}" for name, path in options.adapters)),
    )


def _skip_layers(options: OpenOptions, source: CheckpointFiles) -> CheckpointFiles:
    """Remove the last layers of the text encoder ("clip skip")."""
    text = source.config.text
    if options.skip_layers == 0:
        return source
    if not isinstance(text, ClipTextConfig | ClipPairConfig):
        raise ConfigError(f"skip_layers: expected 0 for a text encoder that is not CLIP, got {options.skip_layers}")
    shorter = skip_last_layers(text, options.skip_layers)
    layout = without_skipped_layers(source.layouts["text_encoder"], shorter)
    return dataclasses.replace(
        _with_config(source, text=shorter),
        layouts={**source.layouts, "text_encoder": layout},
        variations=(*source.variations, f"text encoder without its last {options.skip_layers} layers"),
    )


def _lengthen(options: OpenOptions, source: CheckpointFiles) -> CheckpointFiles:
    """Give prompts several windows, which `ModelConfig` checks."""
    return _with_config(source, **_given(windows=options.windows))


def _divide(options: OpenOptions, source: CheckpointFiles) -> CheckpointFiles:
    """Decode and encode pictures by tiles, which `ModelConfig` checks."""
    return _with_config(source, **_given(tile=options.tile))


def _with_config(source: CheckpointFiles, **changes: Any) -> CheckpointFiles:
    return dataclasses.replace(source, config=dataclasses.replace(source.config, **changes))


def _given(**values: Any) -> dict[str, Any]:
    """The values that are not None."""
    return {name: value for name, value in values.items() if value is not None}
