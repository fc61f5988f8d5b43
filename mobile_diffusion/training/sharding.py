"""Sharding a U-Net over the processes that train it, and gradient checkpointing of its blocks.

Each ResNet block, each transformer and the rest are gathered before they run and freed afterwards (FSDP2, Zhao et al.
2023): a process holds a share of the weights, gradients, moments and moving average.  Autocast, not FSDP2's own
policy, makes the arithmetic bfloat16: that policy would also round the guidance scale and the norms, so that a sharded
run would not follow the curve of an unsharded one.  The price is that weights are sent in float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint

from mobile_diffusion.blocks import ResnetBlock
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.training import workers
from mobile_diffusion.transformer import SpatialTransformer
from mobile_diffusion.unet import UNet


def blocks_of(module: nn.Module) -> list[nn.Module]:
    """The ResNet blocks and transformers of a network, in its order."""
    return [each for each in module.modules() if isinstance(each, ResnetBlock | SpatialTransformer)]


def checkpoint_blocks(module: nn.Module) -> None:
    """Keep only each block's inputs, and compute the block again in the backward pass (Chen et al. 2016), in place.

    Raises ConfigError for a network without blocks.
    """
    blocks = blocks_of(module)
    if not blocks:
        raise ConfigError(f"loop.checkpointing: expected a network of blocks, got {type(module).__name__}; set false")
    for block in blocks:
        block.forward = _checkpointed(block.forward)


def _checkpointed(forward: Any) -> Any:
    def run(*inputs: Tensor) -> Tensor:
        # No block draws random numbers, so the generator's state need not be kept.
        return checkpoint(forward, *inputs, use_reentrant=False, preserve_rng_state=False)

    return run


def shard(module: nn.Module) -> None:
    """Shard a U-Net's parameters over all processes, also over a single one, in place.

    Raises ConfigError for another network: its parts are called one by one, and FSDP2 would not gather them.
    """
    if not isinstance(module, UNet):
        raise ConfigError(f"loop.shard: expected a U-Net in training, got {type(module).__name__}; set it to false")
    workers.alone()
    # A dropped block returns its input; nothing here writes over it.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # FSDP2 shards no other layout
    for block in blocks_of(module):
        fully_shard(block)
    fully_shard(module)


@contextmanager
def gathered_root(module: nn.Module) -> Iterator[None]:
    """Keep the weights outside of the blocks gathered: a sampler calls parts of the U-Net, which FSDP2 does not see."""
    if not isinstance(module, FSDPModule):
        yield
        return
    module.unshard()
    try:
        yield
    finally:
        module.reshard()


def is_sharded(module: nn.Module) -> bool:
    """Whether its parameters are sharded over the processes."""
    return isinstance(module, FSDPModule)


@torch.no_grad()
def whole(unet: UNet) -> UNet:
    """The U-Net itself, or an unsharded copy of a sharded one; all processes call it together."""
    if not is_sharded(unet):
        return unet
    copy = UNet(unet.config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for name, value in copy.named_parameters():
        sharded = unet.get_parameter(name)
        assert isinstance(sharded, DTensor)
        value.copy_(sharded.full_tensor())
    return copy
