"""A U-Net divided over the processes that train it, and blocks whose activations are computed twice instead of kept.

Each ResNet block, each transformer and the rest are gathered when they are run and let go afterwards (FSDP2, Zhao et
al. 2023): a process holds a share of the weights, gradients, moments and moving average.  Autocast stays what makes
the arithmetic bfloat16: FSDP2's own policy would also round the scale of guidance and the norms, so that a divided
run would not follow the curve of a whole one; the price is that weights travel in float32.
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
from mobile_diffusion.unet import SpatialTransformer, UNet


def blocks_of(module: nn.Module) -> list[nn.Module]:
    """The ResNet blocks and transformers of a network, in its order."""
    return [each for each in module.modules() if isinstance(each, ResnetBlock | SpatialTransformer)]


def checkpoint_blocks(module: nn.Module) -> None:
    """Keep of each block no more than its inputs, and compute it again on the way back (Chen et al. 2016), in place.

    Raises ConfigError for a network without blocks.
    """
    blocks = blocks_of(module)
    if not blocks:
        raise ConfigError(f"loop.checkpointing: expected a network of blocks, got {type(module).__name__}; set false")
    for block in blocks:
        block.forward = _checkpointed(block.forward)


def _checkpointed(forward: Any) -> Any:
    def run(*inputs: Tensor) -> Tensor:
        # No block draws random numbers, so no generator's state has to be kept.
        return checkpoint(forward, *inputs, use_reentrant=False, preserve_rng_state=False)

    return run


def shard(module: nn.Module) -> None:
    """Divide a U-Net's parameters over all processes, one of them too, in place.

    Raises ConfigError for another network: its parts are called without the whole, which would not gather them.
    """
    if not isinstance(module, UNet):
        raise ConfigError(f"loop.shard: expected a U-Net in training, got {type(module).__name__}; set it to false")
    workers.alone()
    # Of a block that is left out; nothing here writes over its input.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # FSDP2 divides no other
    for block in blocks_of(module):
        fully_shard(block)
    fully_shard(module)


@contextmanager
def gathered_root(module: nn.Module) -> Iterator[None]:
    """Hold what is outside of the blocks whole: a sampler calls a U-Net's parts, which FSDP2 does not see."""
    if not isinstance(module, FSDPModule):
        yield
        return
    module.unshard()
    try:
        yield
    finally:
        module.reshard()


def is_sharded(module: nn.Module) -> bool:
    """Whether its parameters are divided over the processes."""
    return isinstance(module, FSDPModule)


@torch.no_grad()
def whole(unet: UNet) -> UNet:
    """The U-Net as it is, or a plain copy of a divided one; all processes call it together."""
    if not is_sharded(unet):
        return unet
    copy = UNet(unet.config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for name, value in copy.named_parameters():
        divided = unet.get_parameter(name)
        assert isinstance(divided, DTensor)
        value.copy_(divided.full_tensor())
    return copy
