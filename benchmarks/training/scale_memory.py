"""Counts the memory that a training step of a U-Net needs besides its parameters: benchmarks/results/scale_memory.json.

    python -m benchmarks.training.scale_memory emoji sd15 snapfusion

What autograd keeps of a forward pass in bfloat16 autocast for the backward pass, every tensor once.  The tensors are
fake: they have sizes and no contents, so that a network of any size is counted on any computer; attention is fused.
With checkpointing it is the inputs of the blocks, and the largest block's own tensors while it is computed again.
The figure of a batch is a constant (weights in bfloat16) and a share per sample.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.measuring.command_line import run_script
from benchmarks.measuring.results import read_result, write_result
from benchmarks.paths import RESULTS
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.presets import preset
from mobile_diffusion.slimming.blocks import skippable
from mobile_diffusion.training.sharding import checkpoint_blocks
from mobile_diffusion.unet import UNet

RESULT = RESULTS / "scale_memory.json"


class Kept:
    """Storages that autograd keeps, the parameters' own apart."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self.storages: dict[int, Any] = {}
        """By address; held, so that no address comes twice."""
        self.own = {value.untyped_storage()._cdata for value in parameters}

    def pack(self, value: Tensor) -> Tensor:
        """Note a tensor that is kept."""
        storage = value.untyped_storage()
        if storage._cdata not in self.own:
            self.storages[storage._cdata] = storage
        return value

    @property
    def bytes(self) -> int:
        """Of all of them."""
        return sum(storage.nbytes() for storage in self.storages.values())


def kept_bytes(config: ModelConfig, batch: int, checkpointing: bool) -> tuple[int, int]:
    """Bytes kept by a whole forward, and by its largest block."""
    with FakeTensorMode():
        unet = UNet(config.unet)
        kept, before, blocks = Kept(list(unet.parameters())), [0], [0]
        if checkpointing:
            checkpoint_blocks(unet)
        for name in skippable(unet):
            block = unet.get_submodule(name)
            block.register_forward_pre_hook(lambda *_: before.append(kept.bytes))
            block.register_forward_hook(lambda *_: blocks.append(kept.bytes - before[-1]))
        latents = torch.randn(batch, *config.latent_shape[1:])
        times, context = torch.zeros(batch, dtype=torch.long), torch.randn(batch, *config.context_shape[1:])
        with torch.autograd.graph.saved_tensors_hooks(kept.pack, _same), torch.autocast("cpu", torch.bfloat16):
            unet(latents, times, context).float().square().mean()
        return kept.bytes, max(blocks)


def count(name: str) -> dict[str, dict[str, int]]:
    """The constant and the share of a sample, with and without checkpointing."""
    config = preset(name)
    (kept_one, block_one), (kept_three, block_three) = (kept_bytes(config, batch, False) for batch in (1, 3))
    given_one, given_three = (kept_bytes(config, batch, True)[0] for batch in (1, 3))
    again = _split(given_one + block_one, given_three + block_three)
    return {"kept": _split(kept_one, kept_three), "checkpointed": again}


def _split(one: int, three: int) -> dict[str, int]:
    """Bytes of batches of one and of three as a constant and a share."""
    sample = (three - one) // 2
    return {"constant": one - sample, "sample": sample}


def _same(value: Tensor) -> Tensor:
    return value


def main(names: Annotated[list[str], typer.Argument(help="Presets; the others keep their figures.")]) -> None:
    """Count the networks that are named, and write after each."""
    found = read_result(RESULT, {})
    for name in names:
        found[name] = count(name)
        typer.echo(f"{name} {found[name]}")
        write_result(RESULT, found)


if __name__ == "__main__":
    run_script(main, __doc__)
