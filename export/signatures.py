"""Inputs and outputs of each stage: the contract between programs, runners and apps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mobile_diffusion.config import ModelConfig
from mobile_diffusion.drawing import NULL
from mobile_diffusion.errors import ExportError
from mobile_diffusion.schedule import step_table

STAGES = ("encode_text", "denoise", "decode_image")
"""The stages of every bundle, in the order in which an app runs them."""


IMAGE_STAGES = (*STAGES, "encode_image")
"""The stages of a bundle that can also start from a picture."""


HINT = "encode_hint"
"""The last stage of a bundle with ControlNets."""


EVERY_STAGE = (*IMAGE_STAGES, HINT)
STAGE_LISTS = (STAGES, IMAGE_STAGES, (*STAGES, HINT), EVERY_STAGE)
"""The stages that a bundle may have, in order."""


PARTS = {
    "encode_text": "text_encoder",
    "denoise": "unet",
    "decode_image": "autoencoder",
    "encode_image": "autoencoder",
    HINT: "controls",
}
"""The network that each stage contains, by stage."""


@dataclass(frozen=True)
class TensorSpec:
    """Name, dtype (numpy's name, such as "float32" or "int32") and static shape of one input or output."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a stage, in order."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class HasSignature(Protocol):
    """A `Signature`, or anything else with inputs and outputs, such as an `ExportStage`."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The inputs, in order."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The outputs, in order."""


def program_outputs(signature: HasSignature) -> tuple[str, ...]:
    """Return the output names for formats in which no two values may share a name.

    An output that has the name of an input gets the suffix `_out`.
    """
    taken = {spec.name for spec in signature.inputs}
    return tuple(f"{spec.name}_out" if spec.name in taken else spec.name for spec in signature.outputs)


def text_inputs(config: ModelConfig, prefix: str = "", windows: int | None = None) -> list[TensorSpec]:
    """What `denoise` reads of a text, with the `prefix` of the null text; of one of its `windows` alone, the outputs of
    `encode_text`.
    """
    length = config.text.max_tokens * (windows or config.windows)
    context = TensorSpec(f"{prefix}context", "float32", (1, length, config.text.width))
    pooled = config.text.pooled_width
    return [context, *([TensorSpec(f"{prefix}pooled", "float32", (1, pooled))] if pooled else [])]


def picture_inputs(config: ModelConfig) -> list[TensorSpec]:
    """The inputs of `denoise` that an inpainting or an editing network reads of a picture; none for another."""
    if config.task == "inpaint":
        mask = TensorSpec("mask", "float32", (1, 1, *config.latent_shape[2:]))
        return [mask, TensorSpec("masked_latents", "float32", config.latent_shape)]
    if config.task == "edit":
        guided = config.schedule.applied_guidance == "cfg"
        scale = [TensorSpec("image_guidance", "float32", (1,))] if guided else []
        return [TensorSpec("image_latents", "float32", config.latent_shape), *scale]
    return []


def hint_inputs(config: ModelConfig) -> list[TensorSpec]:
    """The inputs of `denoise` that ControlNets read: their encoded hints, and their strengths."""
    return [_features(config), TensorSpec("hint_scales", "float32", (len(config.controls),))] if config.controls else []


def adapter_inputs(config: ModelConfig) -> list[TensorSpec]:
    """The inputs of `denoise` that are of adapters: their factors, and their scales."""
    if config.adapters is None:
        return []
    count = len(config.adapters.names)
    return [
        TensorSpec("adapters", "float32", config.adapters.shape),
        TensorSpec("adapter_scales", "float32", (count,)),
    ]


def _features(config: ModelConfig) -> TensorSpec:
    """The encoded hints of n ControlNets or T2I-Adapters, (n, K, h, w)."""
    return TensorSpec("hint_features", "float32", config.hint_shape)


def denoise_signature(config: ModelConfig) -> Signature:
    """Return the inputs and outputs of `denoise`; memory, guidance and noise only if the schedule has them.

    Where guidance is a choice of each step, one call is one evaluation, and returns the network's output, too: a guided
    step calls it first for the null text, and then for the prompt with that output.
    """
    latents = TensorSpec("latents", "float32", config.latent_shape)
    table, guided = step_table(config.schedule), config.schedule.applied_guidance == "cfg"
    channels, *sides = config.latent_shape[1:]
    memory = TensorSpec("memory", "float32", (1, table.memory * channels, *sides))
    state = (latents, memory) if table.memory else (latents,)
    inputs = [latents, TensorSpec("step", "int32", (1,)), *text_inputs(config)]
    by_step = bool(config.schedule.guidance_shares)
    if by_step:
        inputs += [TensorSpec("null_output", "float32", config.latent_shape), TensorSpec("guidance", "float32", (1,))]
    elif guided:
        inputs += [*text_inputs(config, NULL), TensorSpec("guidance", "float32", (1,))]
    if table.memory:
        inputs.append(memory)
    if table.stochastic:
        inputs.append(TensorSpec("noise", "float32", config.latent_shape))
    inputs += [*picture_inputs(config), *hint_inputs(config), *adapter_inputs(config)]
    output = (TensorSpec("output", "float32", config.latent_shape),) if by_step else ()
    return Signature(tuple(inputs), (*state, *output))


def signature(config: ModelConfig, name: str) -> Signature:
    """Return the inputs and outputs of a stage, without building the stage."""
    latents = TensorSpec("latents", "float32", config.tile_shape)
    sides = [side * config.autoencoder.factor for side in config.tile_shape[2:]]
    image = TensorSpec("image", "float32", (1, 3, *sides))
    if name == "denoise":
        return denoise_signature(config)
    if name == "decode_image":
        return Signature((latents,), (image,))
    if name == "encode_image":
        return Signature((image,), (latents,))
    if name == HINT:
        hints = TensorSpec("hints", "float32", (len(config.controls), *config.image_shape[1:]))
        return Signature((hints,), (_features(config),))
    names = ("tokens", "mask") if config.text.uses_mask else ("tokens",)
    inputs = tuple(TensorSpec(each, "int32", config.text.tokens_shape) for each in names)
    return Signature(inputs, tuple(text_inputs(config, windows=1)))


def check_arrays(stage: str, inputs: Sequence[TensorSpec], arrays: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Return the arrays, contiguous and in the order of `inputs`.

    Raises `ExportError` if a name is missing or unknown, or if an array has another dtype or shape.
    """
    names = [spec.name for spec in inputs]
    if set(names) != set(arrays):
        raise ExportError(f"{stage}: expected the inputs {', '.join(names)}, got {', '.join(arrays) or 'none'}")
    for spec in inputs:
        dtype, shape = _describe(arrays[spec.name])
        if (dtype, shape) != (spec.dtype, tuple(spec.shape)):
            raise ExportError(f"{stage}: expected {spec.name} as {spec.dtype} {tuple(spec.shape)}, got {dtype} {shape}")
    return [np.ascontiguousarray(arrays[name]) for name in names]


def _describe(value: object) -> tuple[str, tuple[int, ...]]:
    array = value if isinstance(value, np.ndarray) else None
    return (str(array.dtype), array.shape) if array is not None else (type(value).__name__, ())
