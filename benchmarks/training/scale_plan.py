"""Prints the plan of a Stable Diffusion 1.5 run on 8 and on 128 GPUs, and writes it into docs/scale.md.

    python -m benchmarks.training.scale_plan            # prints
    python -m benchmarks.training.scale_plan --write    # fills the markers of docs/scale.md

Arithmetic, not measurement: multiply-accumulates and parameters are counted from our architectures, bytes of a step by
training/scale_memory.py; the GPU is its data sheet; the share of it that training uses is assumed.  The one measured
figure is the emoji U-Net's training speed on this project's two processor cores.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Annotated

import torch
import typer

from benchmarks.documents.markers import fill_page, table
from benchmarks.measuring.command_line import run_script
from benchmarks.paths import EMOJI, RESULTS, ROOT
from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.inspection.cost import measure
from mobile_diffusion.presets import preset
from mobile_diffusion.slimming.decoder_pruning import pruned_config
from mobile_diffusion.unet import UNet

PAGE = ROOT / "docs" / "scale.md"
MEMORY = RESULTS / "scale_memory.json"
CURVE = EMOJI / "training" / "unet-curve.jsonl"
PEAK = 989e12
"""bfloat16 operations a second of an H100 SXM without sparsity, its data sheet."""
UTILISATION = 0.30
"""Assumed share of PEAK that training reaches while it computes."""
LINKS = {8: 450e9, 128: 50e9}
"""Bytes a second and GPU in one direction: NVLink in a node, a 400 Gb/s adapter for each GPU between nodes."""
GPU_BYTES = 80e9
STATE_BYTES = 20
"""A parameter's float32 weight, gradient, two moments and moving average."""
GUIDED = 0.1
"""Share of a distillation's batches that are guided."""
DECISIONS, CANDIDATES, JUDGED = 13, 14, 16 * 512
"""From Stable Diffusion 1.5 to SnapFusion: decisions, candidates of each, samples that a candidate is judged on."""


@dataclass(frozen=True)
class Network:
    """What one sample costs."""

    parameters: int
    forward: float
    """Operations of a forward: two for each multiply-accumulate."""


@dataclass(frozen=True)
class Stage:
    """One command of the plan."""

    name: str
    samples: float
    """Samples seen in all; 0 for a command that does not train."""
    operations: float
    """Of one sample: forwards of the teacher, and three forwards' worth of the network in training."""
    trained: Network
    held: int = 0
    """Parameters of a network that is not trained, in float32."""
    activations: str = "sd15"
    """The network in scale_memory.json whose activations are kept."""


@dataclass(frozen=True)
class Fleet:
    """GPUs and how a batch is divided over them."""

    gpus: int
    batch: int
    part: int
    """Samples that a GPU computes at once."""
    rate: float


FLEETS = (Fleet(8, 512, 16, 2.5e-5), Fleet(128, 2048, 16, 5e-5))


def network_of(config: ModelConfig) -> Network:
    """Counts a U-Net on the meta device."""
    with torch.device("meta"):
        unet = UNet(config.unet)
        latents, context = torch.zeros(config.latent_shape), torch.zeros(config.context_shape)
        cost = measure(unet, lambda: unet(latents, torch.zeros(1), context))
    return Network(sum(value.numel() for value in unet.parameters()), 2.0 * cost.macs)


def decoder_of(config: ModelConfig, slim: bool) -> Network:
    """Counts a decoder, the full or the slim one, on the meta device."""
    autoencoder = pruned_config(config.autoencoder) if slim else config.autoencoder  # type: ignore[arg-type]
    with torch.device("meta"):
        network = Autoencoder(autoencoder)  # type: ignore[arg-type]
        latents = torch.zeros(config.latent_shape)
        cost = measure(network, lambda: network.to_images(latents))
    parts = (network.decoder, network.post_quant_conv)
    return Network(sum(value.numel() for part in parts for value in part.parameters()), 2.0 * cost.macs)


def distilling(teacher: Network, student: Network) -> float:
    """Operations of a sample of step distillation: two steps of the teacher, twice as many evaluations if guided."""
    once = 2 * teacher.forward + 3 * student.forward
    return (1 - GUIDED) * once + GUIDED * 2 * once


def stages() -> list[Stage]:
    """The plan: what is trained, on how many samples, at which cost."""
    full, slim = network_of(preset("sd15")), network_of(preset("snapfusion"))
    decoder, small = decoder_of(preset("sd15"), False), decoder_of(preset("sd15"), True)
    million = 1e6
    return [
        Stage("robust training, v-prediction", 50 * million, 3 * full.forward, full),
        Stage("further training after the evolution", 50 * million, 3 * slim.forward, slim, 0, "snapfusion"),
        Stage("teacher to 16 steps", 10 * million, distilling(full, full), full, full.parameters),
        Stage("student to 16 steps", 10 * million, distilling(full, slim), slim, full.parameters, "snapfusion"),
        Stage("student to 8 steps", 20 * million, distilling(full, slim), slim, full.parameters, "snapfusion"),
        Stage("decoder", 4 * million, decoder.forward + 3 * small.forward, small, decoder.parameters, ""),
    ]


def exchange_seconds(stage: Stage, fleet: Fleet) -> float:
    """A ring's all-reduce of the float32 gradients, which does not overlap the backward pass."""
    return 2 * (fleet.gpus - 1) / fleet.gpus * 4 * stage.trained.parameters / LINKS[fleet.gpus]


def step_seconds(stage: Stage, fleet: Fleet) -> float:
    """Of one optimiser step."""
    return fleet.batch / fleet.gpus * stage.operations / (PEAK * UTILISATION) + exchange_seconds(stage, fleet)


def memory(stage: Stage, fleet: Fleet, counted: dict[str, dict[str, dict[str, int]]]) -> str:
    """GB of a GPU, undivided; with checkpointing; divided (`shard`) and with checkpointing."""
    if not stage.activations:
        return "not counted"
    state, held = STATE_BYTES * stage.trained.parameters, 4 * stage.held
    kept, twice = (
        counted[stage.activations][word]["constant"] + fleet.part * counted[stage.activations][word]["sample"]
        for word in ("kept", "checkpointed")
    )
    cells = (state + held + kept, state + held + twice, state / fleet.gpus + held + twice)
    return " / ".join(f"{size / 1e9:.0f}" if size < GPU_BYTES else f"**{size / 1e9:.0f}**" for size in cells)


def plan() -> str:
    """The table of both fleets."""
    counted, rows = json.loads(MEMORY.read_text()), []
    for fleet in FLEETS:
        hours = 0.0
        for stage in stages():
            steps, seconds = stage.samples / fleet.batch, step_seconds(stage, fleet)
            hours += steps * seconds / 3600
            share = f"{fleet.gpus} x {fleet.part} x {fleet.batch // fleet.gpus // fleet.part}"
            exchange = exchange_seconds(stage, fleet)
            cells = [f"{stage.samples / 1e6:.0f} M", f"{fleet.batch} = {share}", f"{fleet.rate:g}", f"{steps:,.0f}"]
            cells += [f"{seconds:.2f} ({exchange:.2f})", memory(stage, fleet, counted)]
            rows.append([str(fleet.gpus), stage.name, *cells, f"{steps * seconds / 3600:.1f}"])
        rows.append([str(fleet.gpus), "**all**", "", "", "", "", "", "", f"**{hours:.0f}**"])
    head = ["GPUs", "training", "samples", "batch = GPUs x part x parts", "learning rate", "steps"]
    judged = DECISIONS * CANDIDATES * JUDGED * network_of(preset("sd15")).forward / (PEAK * UTILISATION) / 3600
    note = (
        f"The sums leave out the evolution, which runs on one GPU in both cases: {DECISIONS} decisions with about "
        f"{CANDIDATES} candidates, each judged on {JUDGED:,} samples, take at most {judged:.1f} hours."
    )
    return f"{table([*head, 's per step (exchange)', 'GB per GPU', 'hours'], rows)}\n\n{note}"


def counts() -> str:
    """What the plan counts with."""
    rows = []
    for title, name in (("sd15", "sd15"), ("snapfusion", "snapfusion"), ("emoji-27M", "emoji")):
        found = network_of(preset(name))
        rows.append([f"U-Net {title}", f"{found.parameters / 1e6:.1f}", f"{found.forward / 2e9:.1f}"])
    for name, slim in (("full", False), ("slim", True)):
        found = decoder_of(preset("sd15"), slim)
        rows.append([f"decoder sd15, {name}", f"{found.parameters / 1e6:.1f}", f"{found.forward / 2e9:.1f}"])
    return table(["network", "parameters, M", "multiply-accumulates per sample, G"], rows)


def anchor() -> str:
    """What was measured: the U-Net of emoji-27M on two processor cores."""
    rows = [json.loads(line) for line in CURVE.read_text().splitlines()]
    speed = median(row["samples_per_second"] for row in rows)
    done = 3 * network_of(preset("emoji")).forward * speed
    return (
        f"Measured: the U-Net of emoji-27M trained at {speed:.1f} samples/s (median of {len(rows)} rows of "
        f"`assets/emoji/training/unet-curve.jsonl`) in bfloat16 on two processor cores: {done / 1e12:.2f} x 10^12 "
        f"operations per second. Assumed: a GPU reaches {UTILISATION:.0%} of {PEAK / 1e12:.0f} x 10^12 operations per "
        f"second (an H100's data sheet), {PEAK * UTILISATION / done:.0f} times as much. The hours are inversely "
        "proportional to this share."
    )


TABLES: dict[str, Callable[[], str]] = {"plan": plan, "counts": counts, "anchor": anchor}
"""Marker in the page -> what stands there."""


def main(write: Annotated[bool, typer.Option("--write", help="Write into the page.")] = False) -> None:
    """Print everything, or write it into the page."""
    found = {name: render() for name, render in TABLES.items()}
    if write:
        fill_page(PAGE, found)
    else:
        typer.echo("\n\n".join(found.values()))


if __name__ == "__main__":
    run_script(main, __doc__)
