"""How much of their weights adapters and sizes of one model share as functions of one package.

    python -m benchmarks.coreml.sharing --work /tmp/sharing

The emoji model's `denoise` is lowered for iOS 18 three times: as it is, with random matrices of rank 4 added to its
attention projections (what a merged LoRA file does to them), and for pictures of twice the size; the three packages
are combined, and sizes and hits are as `combine_packages` reports them.  For Stable Diffusion 1.5 the same is counted
from the parameters' names and shapes alone: a record is a parameter, and one that an adapter changes is not shared.
Results go to benchmarks/results/sharing.json.
"""

from __future__ import annotations

import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import nn

from benchmarks.measuring.command_line import run_script
from benchmarks.measuring.results import conditions, write_result
from benchmarks.paths import EMOJI, RESULTS
from export.coreml.combine import combine_packages
from export.coreml.lower import lower
from export.coreml.options import CoreMLOptions
from export.stages import build_stage
from mobile_diffusion.checkpoint import open_source
from mobile_diffusion.formats.checkpoint_files import builders
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.presets import preset

RESULT = RESULTS / "sharing.json"
STAGE, COUNTED = "denoise", "sd15"
PROJECTIONS = ("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight")
"""What LoRA files of Stable Diffusion usually adapt."""
RANK, SCALE = 4, 0.01
MEGA = 1e6


class Adapted:
    """A checkpoint whose U-Net has matrices of low rank added to its attention projections."""

    def __init__(self, source: Any) -> None:
        self.source, self.config = source, source.config

    def load_part(self, part: str) -> nn.Module:
        """One network; the U-Net changed."""
        network: nn.Module = self.source.load_part(part)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for name, tensor in network.named_parameters():
                if part == "unet" and name.endswith(PROJECTIONS):
                    up = torch.randn(len(tensor), RANK, generator=generator)
                    tensor.add_(up @ torch.randn(RANK, tensor[0].numel(), generator=generator) * SCALE)
        return network


def lowered(source: Any, folder: Path) -> Path:
    """A package of the stage for iOS 18."""
    folder.mkdir(parents=True)
    return folder / lower(build_stage(source, STAGE), folder, CoreMLOptions(deployment_target="iOS18"))


def combined(work: Path) -> dict[str, Any]:
    """The emoji model, adapted, and in twice the size."""
    source = open_source(EMOJI)
    size = 2 * source.config.height
    packages = {
        "base": lowered(source, work / "base"),
        "adapted": lowered(Adapted(open_source(EMOJI)), work / "adapted"),
        f"size_{size}": lowered(open_source(EMOJI, OpenOptions(height=size, width=size)), work / "size"),
    }
    start = time.perf_counter()
    found = combine_packages(packages, work / "all.mlpackage")
    functions = [asdict(share) | {"shared": round(share.shared, 4)} for share in found.functions]
    return {
        "model": source.config.name,
        "how": "combined",
        "seconds": round(time.perf_counter() - start, 2),
        "source_mb": round(found.source_bytes / MEGA, 1),
        "combined_mb": round(found.weight_bytes / MEGA, 1),
        "functions": functions,
    }


def counted() -> dict[str, Any]:
    """Parts of a large model's parameters that an adapter leaves alone."""
    with torch.device("meta"):
        network = builders(preset(COUNTED))["unet"]()
    sizes = {name: tensor.numel() for name, tensor in network.named_parameters()}
    total = sum(sizes.values())
    projections = sum(size for name, size in sizes.items() if name.endswith(PROJECTIONS))
    transformers = sum(size for name, size in sizes.items() if ".attentions." in name)
    return {
        "model": COUNTED,
        "how": "counted",
        "parameters": total,
        "shared_when_attention_projections_differ": round(1 - projections / total, 4),
        "shared_when_all_of_the_transformers_differ": round(1 - transformers / total, 4),
    }


def main(work: Annotated[Path, typer.Option(help="Folder for packages, 300 MB; emptied first.")]) -> None:
    """Combine, count, write."""
    shutil.rmtree(work, ignore_errors=True)
    stated = conditions(1)
    write_result(RESULT, {"conditions": stated, "rows": [combined(work), counted()]})


if __name__ == "__main__":
    run_script(main, __doc__)
