"""Counts what one training step of a U-Net holds besides its parameters: benchmarks/results/scale_memory.json.

    python benchmarks/scale_memory.py emoji sd15 snapfusion

torch's memory tracker follows every tensor of a forward and a backward in bfloat16 autocast.  The tensors are fake:
they have sizes and no contents, so that a network of any size is counted on any computer; attention is the fused one.
The figure of a batch is a constant (weights in bfloat16, buffers) and a share for each sample.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

sys.path.insert(0, str(Path(__file__).parents[1]))

from mobile_diffusion.config import ModelConfig
from mobile_diffusion.presets import preset
from mobile_diffusion.training.sharding import checkpoint_blocks
from mobile_diffusion.unet import UNet

RESULTS = Path(__file__).with_name("results") / "scale_memory.json"
KEPT = ("Parameter", "Gradient")


def peak_bytes(config: ModelConfig, batch: int, checkpointing: bool) -> int:
    """Most bytes alive in a step, without parameters and their gradients."""
    with FakeTensorMode():
        unet, tracker = UNet(config.unet), MemTracker()
        if checkpointing:
            checkpoint_blocks(unet)
        latents = torch.randn(batch, *config.latent_shape[1:])
        times, context = torch.zeros(batch, dtype=torch.long), torch.randn(batch, *config.context_shape[1:])
        tracker.track_external(unet, latents, times, context)
        with tracker:
            with torch.autocast("cpu", torch.bfloat16):
                loss = unet(latents, times, context).float().square().mean()
            loss.backward()  # type: ignore[no-untyped-call]
    most = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]
    return int(most["Total"] - sum(size for kind, size in most.items() if kind in KEPT))


def count(name: str) -> dict[str, dict[str, int]]:
    """The constant and the share of a sample, with and without checkpointing."""
    config, found = preset(name), {}
    for word, checkpointing in (("kept", False), ("checkpointed", True)):
        one, three = (peak_bytes(config, batch, checkpointing) for batch in (1, 3))
        sample = (three - one) // 2
        found[word] = {"constant": one - sample, "sample": sample}
    return found


def main() -> None:
    """Count the networks that are named and keep what was counted before."""
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in sys.argv[1:]:
        found[name] = count(name)
        print(name, found[name])
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
