"""`mobile-diffusion coreml compress` and `plan`: smaller weights, and which layer can spare how many bits."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.cli.display import progress_bar, results
from export.cli.export import Checkpoint
from export.cli.opening import opens_checkpoint
from mobile_diffusion.formats.open_options import OpenOptions

if TYPE_CHECKING:
    from rich.table import Table

    from export.coreml.compress import CompressionPlan, Reconstruction
    from export.studies.bits.outputs import LayerOutput

MEGA = 1_000_000
ROWS = 12
"""Layers that a table shows: the worst ones."""
_COMPRESSED = 0.6
"""Progress when the package is written and its weights are compared."""


def compress(
    package: Annotated[Path, typer.Argument(help="The .mlpackage to compress: float16 weights, uncompressed.")],
    recipe: Annotated[str, typer.Option(help="Such as palettize-6, int8, palettize-4-grouped; or a plan's file.")],
    out: Annotated[Path, typer.Option(help="Package to write; must not exist, but for --force.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the package that is already there.")] = False,
    outputs: Annotated[
        bool, typer.Option(help="Run both packages and compare every layer's output; weights are always compared.")
    ] = True,
) -> None:
    """Compress the weights of a Core ML package, read every one of them back, and compare what layers compute.

    Recipes apply to the whole package as they are named. Example:

        mobile-diffusion coreml compress build/ios/denoise.mlpackage --recipe palettize-6 --out build/6.mlpackage
    """
    from export.coreml.compress.stage import named_plan
    from export.coreml.compress.write import compress_package
    from export.studies.bits.outputs import compare_outputs, inputs_for
    from mobile_diffusion.progress import part_of

    with progress_bar() as progress:
        chosen = named_plan(package, recipe)
        arrays, said = inputs_for(package) if outputs else ({}, "")
        found = compress_package(package, out, chosen, part_of(progress, 0.0, _COMPRESSED), force)
        rows: Sequence[LayerOutput] = ()
        if outputs:
            progress("running both packages", _COMPRESSED)
            rows = compare_outputs(package, out, arrays)
        progress("finished", 1.0)
    console = results()
    console.print(layers_table(found, rows, said))
    before, after = (sum(file.stat().st_size for file in path.rglob("weight*")) for path in (package, out))
    console.print(f"{out}: {before / MEGA:.1f} MB of weights became {after / MEGA:.1f} MB", soft_wrap=True)
    for row in rows:
        if not row.layer:
            console.print(f"output {row.value}: {row.snr_db:.1f} dB from the uncompressed package", soft_wrap=True)


def layers_table(found: Sequence[Reconstruction], rows: Sequence[LayerOutput], said: str) -> Table:
    """The layers whose outputs (or, without outputs, whose weights) lost most."""
    from rich.table import Table

    outputs = {row.layer: row.snr_db for row in rows}
    worst = sorted(found, key=lambda each: outputs.get(each.name, each.snr_db))[:ROWS]
    table = Table(title=f"The {len(worst)} layers of {len(found)} that lost most", caption=said and f"input: {said}")
    for column in ("layer", "shape", "recipe", "weight", *(["output"] if rows else [])):
        table.add_column(column, justify="left" if column in ("layer", "recipe") else "right")
    for each in worst:
        output = [f"{outputs[each.name]:.1f} dB"] if rows else []
        shape = "x".join(map(str, each.shape))
        table.add_row(each.name.removesuffix("_to_fp16"), shape, each.recipe, f"{each.snr_db:.1f} dB", *output)
    return table


@opens_checkpoint
def plan(
    checkpoint: Checkpoint,
    options: OpenOptions,
    out: Annotated[Path, typer.Option(help="JSON file to write.")],
    bits: Annotated[float | None, typer.Option(help="Most bits a weight, over all that are compressed.")] = None,
    snr: Annotated[float | None, typer.Option(help="Instead: least dB of the network's predictions.")] = None,
    prompts: Annotated[int, typer.Option(min=1, max=4, help="Drawings whose steps are measured on.")] = 3,
    states: Annotated[int, typer.Option(min=1, max=4, help="Drawings of which each step is measured.")] = 1,
    deployment_target: Annotated[str, typer.Option(help="iOS16, iOS17 or iOS18, as the export will have.")] = "iOS17",
    compute_units: Annotated[str, typer.Option(help="As the export will have.")] = "CPU_AND_GPU",
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads of PyTorch.")] = 2,
) -> None:
    """Measure how much each layer of the U-Net can spare on real drawings, and choose its bits within a budget.

    The plan is used with `--compress plan.json` of the export, or `coreml compress --recipe plan.json`. Example:

        mobile-diffusion coreml plan assets/emoji --bits 4.5 --out build/plan.json
    """
    from export.coreml.options import CoreMLOptions
    from export.studies.bits.planning import Budget
    from export.studies.bits.recording import plan_checkpoint
    from mobile_diffusion.checkpoint import open_source

    budget = Budget(bits, snr)
    chosen = CoreMLOptions(compute_units=compute_units, deployment_target=deployment_target)
    with progress_bar() as progress, tempfile.TemporaryDirectory() as folder:
        progress(f"opening {checkpoint}", 0.0)
        source = open_source(checkpoint, options)
        made = plan_checkpoint(source, budget, chosen, Path(folder), prompts, states, threads, progress)
        made.save(out)
    console = results()
    console.print(plan_table(made))
    bits_found, measured, predicted = made.conditions["bits_per_weight"], made.measured_snr_db, made.predicted_snr_db
    said = f"{bits_found:.2f} bits a weight, predictions at {measured} dB; {predicted} dB if errors added up"
    console.print(f"{out}: {said}", soft_wrap=True)


def plan_table(made: CompressionPlan) -> Table:
    """How many layers and numbers have each recipe."""
    from math import prod

    from rich.table import Table

    table = Table(title=f"Recipes of {made.stage} within {made.budget}")
    for column in ("recipe", "layers", "weights"):
        table.add_column(column, justify="left" if column == "recipe" else "right")
    for name in sorted({layer.recipe for layer in made.layers}):
        counts = [prod(layer.shape) for layer in made.layers if layer.recipe == name]
        table.add_row(name, str(len(counts)), f"{sum(counts) / MEGA:.2f} M")
    return table
