"""`mobile-diffusion coreml compress`: smaller weights, and what they do to the layers' outputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from export.cli.display import progress_bar
from mobile_diffusion.cli.terminal import Json, show

if TYPE_CHECKING:
    from export.coreml.compress import Reconstruction
    from export.studies.bits.outputs import LayerOutput

MEGA = 1_000_000
ROWS = 12
"""Layers that the table shows: the worst ones."""
_COMPRESSED = 0.6
"""Progress when the package has been written and its weights have been compared."""


def compress(
    package: Annotated[Path, typer.Argument(help="The .mlpackage to compress: float16 weights, uncompressed.")],
    recipe: Annotated[
        str, typer.Option(help="A recipe such as palettize-6, int8 or palettize-4-grouped, or the file of a plan.")
    ],
    out: Annotated[Path, typer.Option(help="Package to write. It must not exist, unless --force is given.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the package that is already there.")] = False,
    outputs: Annotated[
        bool, typer.Option(help="Run both packages and compare every layer's output. Weights are always compared.")
    ] = True,
    json: Json = False,
) -> None:
    """Compress the weights of a Core ML package, and compare them and what the layers compute.

    Every weight is read back and compared. A recipe applies to the whole package, a plan to each layer.

    Example:

        mobile-diffusion coreml compress denoise.mlpackage --recipe palettize-6 --out small.mlpackage
    """
    from export.coreml.compress.stage import named_plan
    from export.coreml.compress.write import compress_package
    from export.studies.bits.outputs import compare_outputs, inputs_for
    from mobile_diffusion.progress import part_of

    with progress_bar() as progress:
        chosen = named_plan(package, recipe)
        arrays, source = inputs_for(package) if outputs else ({}, "")
        found = compress_package(package, out, chosen, part_of(progress, 0.0, _COMPRESSED), force)
        rows: Sequence[LayerOutput] = ()
        if outputs:
            progress("running both packages", _COMPRESSED)
            rows = compare_outputs(package, out, arrays)
        progress("finished", 1.0)
    before, after = (sum(file.stat().st_size for file in path.rglob("weight*")) for path in (package, out))
    lines = [
        f"{out}: {before / MEGA:.1f} MB of weights became {after / MEGA:.1f} MB",
        *(f"output {row.value}: {row.snr_db:.1f} dB from the uncompressed package" for row in rows if not row.layer),
    ]
    figures = {"bytes_before": before, "bytes_after": after, "input": source, "weights": found, "outputs": rows}
    show(json, figures, layers_table(found, rows, source), *lines)


def layers_table(found: Sequence[Reconstruction], rows: Sequence[LayerOutput], source: str) -> Table:
    """The layers whose outputs lost most; without outputs, those whose weights lost most."""
    outputs = {row.layer: row.snr_db for row in rows}
    worst = sorted(found, key=lambda each: outputs.get(each.name, each.snr_db))[:ROWS]
    given = f"input: {source}" if source else None
    table = Table(title=f"The {len(worst)} layers of {len(found)} that lost most", caption=given)
    for column in ("layer", "shape", "recipe", "weight", *(["output"] if rows else [])):
        table.add_column(column, justify="left" if column in ("layer", "recipe") else "right")
    for each in worst:
        output = [f"{outputs[each.name]:.1f} dB"] if rows else []
        shape = "x".join(map(str, each.shape))
        table.add_row(each.name.removesuffix("_to_fp16"), shape, each.recipe, f"{each.snr_db:.1f} dB", *output)
    return table
