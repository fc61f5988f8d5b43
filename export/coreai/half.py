"""A stage whose network computes in float16, with float32 where half precision loses what matters.

| part | precision | why |
|---|---|---|
| inputs and outputs of the stage | float32 | the contract of every runtime |
| guidance and the solver's update | float32 | errors would add up over the steps |
| sums of norms | float32 | coreai-torch writes them so: a square is infinite in half from 256 on |
| everything else of the network | float16 | the softmax, too: float32 gains the shipped model at most 0.5 of 64 dB |

A module can be kept in float32 by its name, which is where mixed precision begins.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Set
from typing import Any

import torch
from torch import Tensor, nn

from export.rewrites.replacement import recast
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted

ENTRIES = ("forward", "predict", "to_images", "to_latents")
"""Methods of a network that stages call."""


def in_half(module: nn.Module, network: str, float32: Set[str] = frozenset()) -> nn.Module:
    """Return a copy of a stage's module whose network computes in float16; it shares the weights that stay as they are.

    `network` is the attribute of the module with the network: a value of `export.signatures.PARTS`.  `float32` are
    names of modules inside the network that keep float32, with everything below them.

    Raises:
        ConfigError: `float32` has a name that the network does not have.
    """
    original = module.get_submodule(network)
    unknown = sorted(set(float32) - {name for name, _ in original.named_modules()})
    if unknown:
        raise ConfigError(f"float32: expected names of modules in {network}, got {quoted(unknown[0])}")
    kept = {id(tensor): tensor for name in float32 for tensor in tensors_of(original.get_submodule(name))}
    memo = {id(tensor): kept.get(id(tensor), halved(tensor)) for tensor in tensors_of(original)}
    memo |= {id(tensor): tensor for tensor in tensors_of(module) if id(tensor) not in memo}
    result = copy.deepcopy(module, memo)
    inner = result.get_submodule(network)
    for name in float32:
        keep_float32(inner.get_submodule(name))
    setattr(result, network, recast(inner, with_casts(type(inner))))
    return result


def tensors_of(module: nn.Module) -> list[Tensor]:
    """Return the parameters and buffers of a module."""
    return [*module.parameters(), *module.buffers()]


def halved(tensor: Tensor) -> Tensor:
    """Return a tensor in float16, of the same kind; one that is not float32 is returned itself."""
    if tensor.dtype != torch.float32:
        return tensor
    half = tensor.detach().half()
    return nn.Parameter(half, requires_grad=False) if isinstance(tensor, nn.Parameter) else half


def with_casts(kind: type[nn.Module]) -> type[nn.Module]:
    """Return the class of a network whose entries take and return float32, and pass float16 on."""
    entries = {name: casting(getattr(kind, name)) for name in ENTRIES if hasattr(kind, name)}
    return type(f"Half{kind.__name__}", (kind,), entries)


def casting(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a method that casts its float tensors to float16, and its result to float32."""

    def call(self: nn.Module, *tensors: Tensor) -> Tensor:
        return method(self, *(cast(tensor, torch.float16) for tensor in tensors)).to(torch.float32)

    return call


def keep_float32(module: nn.Module) -> None:
    """Let a module inside a half network take float16, compute in float32 and return float16."""
    module.register_forward_pre_hook(lambda _, given: tuple(cast(each, torch.float32) for each in given))
    module.register_forward_hook(lambda _, given, output: cast(output, torch.float16))


def cast(value: Any, dtype: torch.dtype) -> Any:
    """Return a float tensor, or a tuple with some, as `dtype`; other values are returned as they are."""
    if isinstance(value, tuple | list):
        return type(value)(cast(each, dtype) for each in value)
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
