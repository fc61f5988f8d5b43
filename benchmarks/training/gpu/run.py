"""Run the long training on the machine with the GPU, as far as the time of this call allows; call it again to resume.

    cd build/gpu/code && python3 -m benchmarks.training.gpu.run --package .. --work /tmp/training --out "$OUT"

It unpacks the parts that are there, then runs every stage whose parts and predecessors are there.  At the end of the
time the running stage gets SIGTERM, saves its state and resumes with the next call.  What is worth keeping goes to
`--out`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.measuring.command_line import run_script
from benchmarks.paths import EMOJI, ROOT
from benchmarks.training.gpu.collect import PIECES, collect
from benchmarks.training.gpu.package import PACKED
from benchmarks.training.gpu.pictures import unpack_pictures
from benchmarks.training.gpu.stages import SETTINGS, STAGES, TEACHER_RUN, Stage
from mobile_diffusion.config_json import to_dict
from mobile_diffusion.slimming.latency import read_table
from mobile_diffusion.training.latents import CACHE

SAVING = 40
"""Seconds that a stage has to save its state."""
SCALED = ("steps", "whole_steps", "perceptual_steps", "warmup", "save_every", "sheet_every", "log_every", "latents")
TRAIN = "from mobile_diffusion.cli.train import app; app()"


def main(
    package: Annotated[Path, typer.Option(help="Folder of the package, with the parts of this call.")],
    work: Annotated[Path, typer.Option(help="Folder that stays between calls.")],
    out: Annotated[Path, typer.Option(help="Folder for what is returned.")],
    seconds: Annotated[int, typer.Option(help="Time of this call.", min=60)] = 540,
    scale: Annotated[float, typer.Option(help="Factor of all steps, fixed by the first call.", min=1e-4)] = 1.0,
    first_piece: Annotated[int, typer.Option(help="First piece of the weights to return.", min=0)] = 0,
    batch: Annotated[int, typer.Option(help="Batch of all stages, to try the package; 0: the settings'.", min=0)] = 0,
) -> None:
    """Unpack, train, collect; prints a line per stage."""
    end, work = time.monotonic() + seconds, work.resolve()
    for part in ("lpips", "data", "text"):
        _unpack(package.resolve(), work, part)
    _write_settings(work, scale, batch)
    for stage in STAGES:
        if (work / stage.result).exists():
            continue
        missing = [name for name in stage.needs if not (work / name).exists()]
        if missing:
            _say(f"{stage.name}: waits for {', '.join(missing)}")
            break
        if not _run(stage, work, end - time.monotonic() - 2 * SAVING):
            break
    pieces = collect(work, out, first_piece)
    _say(f"weights: {pieces} pieces, returned from piece {first_piece} on, at most {PIECES}")


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


def _unpack(package: Path, work: Path, part: str) -> None:
    """Bring one folder of work into being, if the part of the package that holds it is there."""
    source = package / {"lpips": "perceptual", "data": "pictures", "text": "text"}[part]
    if (work / part).exists() or not source.exists():
        return
    if part == "data":
        unpack_pictures(source / PACKED, work / part)
    else:
        shutil.copytree(source, work / part)
    _say(f"{part}: unpacked")


def _write_settings(work: Path, scale: float, batch: int) -> None:
    """The settings of this training, with all steps multiplied; a later call keeps those of the first."""
    if (work / "settings").exists():
        return
    (work / "settings").mkdir(parents=True)
    pattern = re.compile(rf"^({'|'.join(SCALED)}) = (\d+)$", re.MULTILINE)
    for file in SETTINGS.glob("*.toml"):
        text = pattern.sub(lambda found: f"{found[1]} = {max(2, round(int(found[2]) * scale))}", file.read_text())
        text = re.sub(r"^batch = \d+$", f"batch = {batch}", text, flags=re.MULTILINE) if batch else text
        (work / "settings" / file.name).write_text(text)


def _run(stage: Stage, work: Path, seconds: float) -> bool:
    """Run a stage for at most so many seconds; returns whether it is finished."""
    if seconds < SAVING:
        _say(f"{stage.name}: no time left in this call")
        return False
    _share_inputs(work, stage)
    if stage.name == "evolution":
        _fit_table(work)
    name, *options = stage.command
    command = [sys.executable, "-c", TRAIN, name, f"settings/{stage.settings or stage.name}.toml", *options]
    (work / "logs").mkdir(exist_ok=True)
    began, surroundings = time.monotonic(), {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "160"}
    with (work / "logs" / f"{stage.name}.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=work, stdout=log, stderr=log, env=surroundings)
        stopped = _wait(process, seconds)
    took = f"{time.monotonic() - began:.0f} s"
    if (work / stage.result).exists():
        _say(f"{stage.name}: finished, {took}")
        return True
    tail = (work / "logs" / f"{stage.name}.log").read_text(errors="replace").strip().splitlines()[-12:]
    _say(f"{stage.name}: {'stopped' if stopped else f'failed with status {process.returncode}'}, {took}")
    _say("\n".join(f"    {line}" for line in tail))
    return False


def _wait(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a process; when the time is over, let it save its state. Returns whether that was the case."""
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        process.terminate()
    try:
        process.wait(SAVING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return True


def _share_inputs(work: Path, stage: Stage) -> None:
    """Let a stage after the teacher read the teacher's encoded pictures and captions, which are checked by hashes."""
    shared, own = work / TEACHER_RUN / CACHE, work / "runs" / stage.name / CACHE
    if stage.name not in ("autoencoder", "teacher", "decoder") and shared.exists() and not own.exists():
        own.parent.mkdir(parents=True, exist_ok=True)
        own.hardlink_to(shared)


def _fit_table(work: Path) -> None:
    """The committed latency table for this U-Net, whose blocks have the same shapes."""
    model = json.loads((work / "runs/emoji-robust/model.json").read_text())
    table = read_table(EMOJI / "training" / "blocks.json")
    unet = dataclasses.replace(table.unet, pooled_context=model["unet"]["pooled_context"])
    values = to_dict(dataclasses.replace(table, unet=unet))
    (work / "runs" / "blocks.json").write_text(json.dumps(values))


if __name__ == "__main__":
    run_script(main, __doc__)
