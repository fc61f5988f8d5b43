"""Memory of the decoder in the C++ runner, whole and by tiles.

    python -m benchmarks.android.tiles --work /tmp/tiles                  # all of ROWS, ten minutes of one core
    python -m benchmarks.android.tiles --work /tmp/tiles sd:1024:256      # one row
    python -m benchmarks.android.tiles --table                            # the table of what was measured

A row is DECODER:PIXELS:TILE, and a tile of 0 is the whole picture.  The decoder is Stable Diffusion's, or a narrow one
of a quarter of its channels, with random weights, which take the same memory; everything else of the model is tiny.
Weights are stored in 8 bits (int8-dynamic).  The runner holds one stage at a time (--sequential), and calls each three
times.  A picture by tiles also needs the picture itself and a strip of it in float32, which these calls do not have: at
1024 pixels and tiles of 256 that is 12.6 and 3.1 MB.  Results go to benchmarks/results/android_tiles.json, a row each.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from assets.golden.models import SMALL, WORDPIECE, GoldenModel
from assets.golden.record import INDEX, describe, tokenizer_of
from benchmarks.android.memory import run
from benchmarks.measuring.command_line import Names, chosen, run_script
from benchmarks.measuring.results import conditions, read_result, write_result
from benchmarks.paths import RESULTS
from export.bundle.bundle import write_bundle
from export.signatures import STAGES
from export.stages import build_stage
from export.targets import TARGETS, lower
from mobile_diffusion.checkpoint import TOKENIZER_FILE
from mobile_diffusion.config import AutoencoderConfig, UNetConfig, UNetLevel
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.tiles import tile_count

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "android_tiles.json"
PRECISION = "int8-dynamic"
DECODERS = {
    "narrow": AutoencoderConfig(channels=(32, 64, 128, 128), groups=8),
    "sd": AutoencoderConfig(channels=(128, 256, 512, 512)),
}
SIDES = ("768:0", "768:512", "1024:0", "1024:512", "1024:320", "1024:256")
ROWS = [*(f"narrow:{sides}" for sides in SIDES), "sd:1024:256", "sd:1024:320", "sd:768:512"]
WAY = "sequential"
LEVEL = UNetLevel(16, 1, 0)


@dataclass(frozen=True)
class Row:
    """One decoder, size of the picture and size of the tiles."""

    name: str
    pixels: int
    tile: int
    """0 for the whole picture."""
    calls: int
    """Of `decode_image` per picture."""
    program_mb: float
    peak_mb: float
    """Most that was resident in the process while the stage ran."""
    call_ms: float
    conditions: dict[str, Any]


def model_of(name: str, pixels: int, tile: int) -> GoldenModel:
    """A tiny model with this decoder."""
    unet = UNetConfig(
        down=(LEVEL,) * 4,
        mid=UNetLevel(16, 1, 1),
        up=(UNetLevel(16, 2, 0),) * 4,
        context_width=SMALL.text.width,
        heads=2,
        groups=8,
    )
    sizes = {"height": pixels, "width": pixels, "tile": tile}
    config = dataclasses.replace(SMALL, unet=unet, autoencoder=DECODERS[name], **sizes)
    return GoldenModel(config, WORDPIECE, "", "", 0, None, None)


def export(model: GoldenModel, folder: Path) -> None:
    """A bundle of it, not compared with PyTorch: that would decode whole pictures."""
    runtime = next(each for each in TARGETS["android"].runtimes if each.name == "xnnpack").at(PRECISION)
    stages = {name: build_stage(model, name) for name in STAGES}
    manifest = describe(model, stages)
    (entry,) = manifest.runtimes
    artifacts = tuple(
        dataclasses.replace(each, method=runtime.method(each.stage), precision=PRECISION) for each in entry.artifacts
    )
    manifest = dataclasses.replace(manifest, runtimes=(dataclasses.replace(entry, artifacts=artifacts),))
    with write_bundle(folder, lambda _, files: dataclasses.replace(manifest, files=files)) as inside:
        for stage in stages.values():
            lower(runtime, stage, inside)
        tokenizer_of(model).save(inside / TOKENIZER_FILE)
        (inside / INDEX).parent.mkdir()
        (inside / INDEX).write_text("{}")


def measure(row: str, work: Path) -> Row:
    """Export, and run the runner."""
    name, pixels, tile = row.split(":")
    model, folder, packed = model_of(name, int(pixels), int(tile)), work / row.replace(":", "-"), work / "packed"
    export(model, folder)
    (decoder,) = (each for each in run(WAY, folder, packed, work / "events.json") if each.stage == "decode_image")
    events = json.loads((work / "events.json").read_text())["events"]
    times = [event["ms"] for event in events if (event["stage"], event["event"]) == ("decode_image", "run")]
    size = (folder / "decode_image.pte").stat().st_size / 1e6
    shutil.rmtree(folder)
    calls = tile_count(DrawSettings.of(model.config))
    peak = max(decoder.load_peak, decoder.run_peak)
    return Row(name, int(pixels), int(tile), calls, round(size, 1), peak, round(times[-1], 1), conditions(1))


def keep(row: Row) -> None:
    """Replace the earlier row, in the order of ROWS."""
    found = {
        f"{each['name']}:{each['pixels']}:{each['tile']}": each for each in [*read_result(RESULT, []), asdict(row)]
    }
    write_result(RESULT, [found[name] for name in ROWS if name in found])


def table() -> Table:
    """What was measured."""
    result = Table(title="The decoder in the C++ runner")
    for column in ("decoder", "pixels", "tile", "calls", "program, MB", "peak, MB", "ms per call"):
        result.add_column(column, justify="left" if column == "decoder" else "right")
    for row in json.loads(RESULT.read_text()):
        shown = (row[name] for name in ("name", "pixels", "tile", "calls", "program_mb", "peak_mb", "call_ms"))
        result.add_row(*map(str, shown))
    return result


def main(
    work: Annotated[Path | None, typer.Option(help="Folder for bundles.")] = None,
    rows: Names = None,
    only_table: Annotated[bool, typer.Option("--table", help="Print what was measured, and measure nothing.")] = False,
) -> None:
    """Measure each row, and print the table."""
    wanted = chosen(rows, ROWS, "row")
    if not only_table:
        if work is None:
            raise typer.BadParameter("expected --work FOLDER, got none")
        work.mkdir(parents=True, exist_ok=True)
        for each in wanted:
            LOGGER.info("%s", each)
            keep(measure(each, work))
    Console(width=120).print(table())


if __name__ == "__main__":
    run_script(main, __doc__)
