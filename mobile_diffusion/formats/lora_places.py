"""Finds the layer of the model that each module of a LoRA file changes, and checks shapes, before a weight is read."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.checkpoint_files import CheckpointFiles
from mobile_diffusion.formats.lora_delta import Role, magnitude_of
from mobile_diffusion.formats.lora_file import LoraFile, LoraModule, opened
from mobile_diffusion.formats.lora_names import flatten, known_modules
from mobile_diffusion.quoting import quoted, shortened
from mobile_diffusion.tensor_layout import Layout, Shape

BIASES: tuple[Role, ...] = ("up_bias", "diff_b")
OTHER = "the LoRA is for another model, such as Stable Diffusion 2 in place of 1"


def find_places(lora: LoraFile, source: CheckpointFiles) -> list[tuple[str, str]]:
    """Find the network and our name of the layer of each module of the file, and check the shapes.

    Raises CheckpointError when the model lacks a module or its layer has another shape, or when the file changes a
    module twice.
    """
    known = known_modules(source.config.unet, source.layouts)
    places: dict[tuple[str, str], LoraModule] = {}
    missing: list[LoraModule] = []
    for module in lora.modules:
        place = known.get(flatten(module.name))
        if place is None or module.part not in (None, place[0]):
            missing.append(module)
        elif place in places:
            got = f"{quoted(places[place].first)} and {quoted(module.first)}"
            raise CheckpointError(f"{lora.file}: expected each module once, got {got}; split the file")
        else:
            places[place] = module
    if missing:
        raise _not_there(lora, missing)
    for (part, layer), module in places.items():
        _check_shapes(lora.file, module, source.layouts[part][f"{layer}.weight"].shape)
    return list(places)


def _not_there(lora: LoraFile, missing: list[LoraModule]) -> CheckpointError:
    """Build the error for modules that the model does not have; a slim model lacks those that were removed."""
    first, count, total = missing[0].first, len(missing), len(lora.modules)
    if count == total:
        reason = f"expected a LoRA for this model, got one with {total} modules that it lacks, such as {quoted(first)}"
        return CheckpointError(f"{lora.file}: {reason}; use another")
    names = shortened(", ".join(module.name for module in missing[:3]) + (", ..." if count > 3 else ""))
    fix = "use one that was trained for this model, or merge it before blocks are removed"
    return CheckpointError(f"{lora.file}: {count} of {total} modules are not in this model ({names}); {fix}")


def _check_shapes(file: Path, module: LoraModule, expected: Shape) -> None:
    """Raise CheckpointError unless the difference and DoRA's lengths fit the weight's shape."""
    if module.kind is None:
        return
    got = module.delta_shape()
    if got is None or 0 in got or module.rank == 0 or not _fits(got, expected):
        shapes = " and ".join(str(list(shape)) for role, shape in module.shapes.items() if role in module.kind.roles)
        reason = f"expected a product of {list(expected)}, got {shortened(shapes)}"
        raise CheckpointError(f"{file}: {quoted(module.name)}: {reason}; {OTHER}")
    tensors = {role: torch.empty(shape, device="meta") for role, shape in module.shapes.items()}
    magnitude = magnitude_of(tensors, torch.empty(expected, device="meta"))
    ones = [1] * (len(expected) - 2)
    if magnitude is not None and tuple(magnitude.shape) not in ((expected[0], 1, *ones), (1, *expected[1:2], *ones)):
        reason = f"expected a DoRA of {expected[0]} lengths, got {magnitude.numel()}"
        raise CheckpointError(f"{file}: {quoted(module.name)}: {reason}; {OTHER}")


def biases(file: Path, module: LoraModule, layout: Layout, layer: str) -> tuple[Role, ...]:
    """The roles of a module's tensors that change the layer's bias.

    Zeros for a layer without a bias are left out.  Raises CheckpointError for other values, which the model has no
    place for, and for a bias of another size.
    """
    roles = tuple(role for role in BIASES if role in module.tensors)
    own = layout.get(f"{layer}.bias")
    for role in roles if own else ():
        if math.prod(module.shapes[role]) != math.prod(own.shape if own else ()):
            reason = f"expected a bias of {list(own.shape if own else ())}, got {shortened(list(module.shapes[role]))}"
            raise CheckpointError(f"{file}: {quoted(module.name)}: {reason}; {OTHER}")
    if own or not roles:
        return roles
    with opened(file) as stored:
        for role in roles:
            if stored.get_tensor(module.tensors[role]).any():
                name = quoted(module.tensors[role])
                reason = "expected zeros, because this layer of the model has no bias, got other numbers"
                raise CheckpointError(f"{file}: tensor {name}: {reason}; use a LoRA without biases")
    return ()


def _fits(got: Shape, expected: Shape) -> bool:
    """Whether a difference has the shape of the weight; kernels may be flat, and 1x1 convolutions matrices."""
    if len(got) == 2 and len(expected) > 2:
        return got == (expected[0], math.prod(expected[1:]))
    return _without_ones(got) == _without_ones(expected)


def _without_ones(shape: Shape) -> Shape:
    """A weight's shape without the kernel dimensions of a 1x1 convolution."""
    return shape[:2] if all(side == 1 for side in shape[2:]) else shape
