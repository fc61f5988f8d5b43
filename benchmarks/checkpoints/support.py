"""Makes the support table of docs/measurements.md: opens, draws and exports every architecture, and checks each.

    python -m benchmarks.checkpoints.support --work /tmp/support             # all, about half an hour
    python -m benchmarks.checkpoints.support --work /tmp/support sd15 taesd

`load` writes a checkpoint of random float16 weights at real widths and opens it, every network.  The other columns
take the same architecture with every width divided by 10: `draw` compares with diffusers' pipeline, `ios` and
`android` export it and compare each program with PyTorch over the whole trajectory, and `img2img` is the same for a
redrawn picture, with the stage encode_image.  Results go to benchmarks/results/support.json.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.checkpoints.against_diffusers import STEPS, UNGUIDED, compare
from benchmarks.checkpoints.random_weights import (
    ARCHITECTURES,
    EVERY,
    TAESD,
    XL_ARCHITECTURES,
    write_checkpoint,
)
from benchmarks.measuring.command_line import Names, Work, chosen, run_script
from benchmarks.measuring.results import read_result, write_result
from benchmarks.paths import RESULTS
from export.job.plan import plan_export
from export.job.run import run_export
from export.targets import TARGETS
from mobile_diffusion.checkpoint import open_checkpoint, open_source, save_checkpoint
from mobile_diffusion.drawing import Start
from mobile_diffusion.errors import MobileDiffusionError
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.presets import preset
from mobile_diffusion.slim import slim_checkpoint, slim_unet

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "support.json"
NARROW = 10
FULL_OF = {"snapfusion": "sd15", "sd15 with taesd": "sd15"}
"""Rows that are not a published folder of their own: slimmed from, or a decoder put in the place of, another's."""
ROWS = (*ARCHITECTURES, *FULL_OF, *XL_ARCHITECTURES)
XL_SIDE = 256
"""Pixels of a side of a narrow XL's picture; at its own 1024 a drawing would take minutes."""
REDRAWING = frozenset({"StableDiffusionPipeline", "StableDiffusionXLPipeline"})
"""Pipelines of which diffusers has one that redraws a picture."""

Cell = dict[str, Any]


def opened(name: str, work: Path, narrow: int) -> tuple[Path, OpenOptions]:
    """The checkpoint of a row, written anew, and how it is opened."""
    folder = work / f"{name.replace(' ', '-')}-{narrow}"
    shutil.rmtree(folder, ignore_errors=True)
    source = FULL_OF.get(name, name)
    write_checkpoint(source, folder, narrow=narrow, half=narrow == 1)
    options = OpenOptions(steps=STEPS.get(name, 8))
    if name in XL_ARCHITECTURES and narrow > 1:
        options = replace(options, height=XL_SIDE, width=XL_SIDE)
    if name in UNGUIDED:
        options = replace(options, guidance_kind="distilled")
    if name == "snapfusion":
        return slimmed(folder, name, narrow), options
    if name == "sd15 with taesd":
        decoder = write_checkpoint(TAESD, work / f"taesd-{narrow}", narrow=narrow)
        return folder, replace(options, decoder=decoder)
    return folder, options


def slimmed(full: Path, name: str, narrow: int) -> Path:
    """A preset's checkpoint that takes its blocks from a full one, of the full one's widths."""
    slim = full.with_name(f"{full.name}-{name}")
    shutil.rmtree(slim, ignore_errors=True)
    if narrow == 1:
        slim_checkpoint(open_source(full), name, slim)
        return slim
    model, counts = open_checkpoint(full), preset(name).unet
    stages = {
        side: tuple(replace(stage, channels=stage.channels // narrow) for stage in getattr(counts, side))
        for side in ("down", "up")
    }
    mid = None if counts.mid is None else replace(counts.mid, channels=counts.mid.channels // narrow)
    unet, _ = slim_unet(model.unet, replace(counts, mid=mid, **stages))
    save_checkpoint(replace(model, config=replace(model.config, name=name, unet=unet.config), unet=unet), slim)
    return slim


def load(name: str, work: Path) -> Cell:
    """Real widths: headers checked, then every network read."""
    folder, options = opened(name, work, narrow=1)
    start = time.perf_counter()
    checkpoint = open_source(folder, options)
    header_s = time.perf_counter() - start
    parts = {}
    for part in checkpoint.source.layouts:
        parts[part] = sum(parameter.numel() for parameter in checkpoint.load_part(part).parameters())
    return {"open_s": round(header_s, 2), "load_s": round(time.perf_counter() - start, 1), "parameters": parts}


def drawn(name: str, work: Path) -> Cell:
    """Narrow: every step against diffusers; SnapFusion's table, which it cannot state, by the exports alone."""
    folder, options = opened(name, work, NARROW)
    if name == "snapfusion":
        Pipeline.from_model(open_checkpoint(folder, options)).generate("a red apple")
        return {"compared": "drawn; diffusers has no such U-Net, see ios and android"}
    if options.decoder is not None:
        put_decoder(options.decoder, folder)
    found = compare(folder, FULL_OF.get(name, name), size=size_of(name))
    euler = EVERY[FULL_OF.get(name, name)].scheduler[0] == "EulerDiscreteScheduler"
    latents = found.last_latents if euler else found.worst_latents
    return {"steps": found.steps, "latents": float(f"{latents:.1e}"), "level": round(found.worst_level, 2)}


def size_of(name: str) -> tuple[int, int] | None:
    """Height and width of a row's narrow picture; None for the architecture's own."""
    return (XL_SIDE, XL_SIDE) if name in XL_ARCHITECTURES else None


def put_decoder(tiny: Path, folder: Path) -> None:
    """A tiny autoencoder instead of a diffusers folder's own, for diffusers to open."""
    shutil.rmtree(folder / "vae")
    shutil.copytree(tiny, folder / "vae")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "vae": ["diffusers", "AutoencoderTiny"]}))


def exported(name: str, work: Path, target: str) -> Cell:
    """Narrow: worst SNR of the free-running trajectory and of the picture, with encode_image and a redrawn picture."""
    folder, options = opened(name, work, NARROW)
    source, out = open_source(folder, options), work / f"{name.replace(' ', '-')}-{target}"
    shutil.rmtree(out, ignore_errors=True)
    plan = plan_export(source.config, TARGETS[target], images=True, threads=1)
    report = run_export(source, TARGETS[target], out, plan=plan).parity
    shutil.rmtree(out)
    worst = {f"{row.runtime} {row.check}": round(row.worst, 1) for row in report.rows()}
    return {"parity_db": worst, "measurements": len(report.measurements)}


def redrawn(name: str, work: Path) -> Cell:
    """Narrow: image-to-image of half strength against diffusers' own pipeline, for pipelines that it has."""
    if name in FULL_OF or EVERY[name].pipeline not in REDRAWING or EVERY[name].vae is None:
        return {"compared": "no diffusers image-to-image pipeline with a posterior; see ios and android"}
    folder, _ = opened(name, work, NARROW)
    size = size_of(name)
    side = size[0] if size else 64
    ramp = np.tile(np.linspace(0, 1, side, dtype=np.float32), (side, 1))
    image = np.stack([ramp, ramp.T, np.full_like(ramp, 0.3)])[None]
    found = compare(folder, name, Start(image, 0.5), size=size)
    return {"steps": found.steps, "latents": float(f"{found.worst_latents:.1e}"), "level": round(found.worst_level, 2)}


COLUMNS: dict[str, Callable[[str, Path], Cell]] = {
    "load": load,
    "draw": drawn,
    "ios": lambda name, work: exported(name, work, "ios"),
    "android": lambda name, work: exported(name, work, "android"),
    "img2img": redrawn,
}


def row(name: str, work: Path) -> dict[str, Cell]:
    """All columns of a row; a cell that failed says why."""
    cells: dict[str, Cell] = {}
    for column, check in COLUMNS.items():
        try:
            cells[column] = check(name, work)
        except MobileDiffusionError as error:
            cells[column] = {"error": str(error)}
        LOGGER.info("%s %s: %s", name, column, json.dumps(cells[column]))
    return cells


def keep(name: str, cells: dict[str, Cell]) -> None:
    """Put a row into the file, in the order of ROWS."""
    table = read_result(RESULT, {})
    table[name] = cells
    write_result(RESULT, {each: table[each] for each in ROWS if each in table})


def main(work: Work, rows: Names = None) -> None:
    """Check row by row, and write after each; the work folder is emptied each time."""
    work.mkdir(parents=True, exist_ok=True)
    for name in chosen(rows, ROWS, "row"):
        keep(name, row(name, work))
        shutil.rmtree(work)
        work.mkdir()


if __name__ == "__main__":
    run_script(main, __doc__)
