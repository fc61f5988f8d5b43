"""What float32 in a few modules costs, and what it saves: networks that leave float16, converted in three ways.

    python -m benchmarks.coreml.mixed_precision

The weights of a narrow BK-SDM-tiny, which are random, are scaled so that numbers leave float16
(benchmarks/checkpoints/overflow.py).  Each stage is converted with coremltools' own norms in float16, with ours in
float16, and with ours and the modules in float32 that `--mixed-precision auto` chooses.  The interpreter runs the
packages on inputs of real drawings; the reference is PyTorch in float32.  Nothing here ran on a phone.  Writes
benchmarks/results/mixed_precision.json.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import torch
import typer
from torch import Tensor

from benchmarks.checkpoints.overflow import overflowing
from benchmarks.checkpoints.random_weights import write_checkpoint
from benchmarks.measuring.command_line import Names, chosen, run_script
from benchmarks.measuring.results import conditions, read_result, write_result
from benchmarks.paths import RESULTS
from export.coreml.interpret import Program
from export.coreml.lower import lower
from export.coreml.options import CoreMLOptions
from export.coreml.package_archive import CoreMLPackage
from export.coreml.structure import nodes
from export.job.calibration import CALIBRATION_CASES, collect
from export.job.mixed_search import Search
from export.mixed.choose import Choice, spread
from export.mixed.names import NONE, spelled
from export.runners.torch import TorchRunner
from export.stages import ExportStage, build_stage
from export.targets import COREML
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.decibels import json_number, snr_db, worst
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.formats.open_options import OpenOptions

STAGES = {
    "scores": "denoise",
    "stream": "denoise",
    "text": "encode_text",
    "decoder": "decode_image",
    "weight": "decode_image",
}
"""Case -> the stage that leaves float16."""
MODEL, NARROW, STEPS = "bk-sdm-tiny", 16, 4
"""512 pixels; every width is a sixteenth."""
INPUTS = 4
JUDGED = CALIBRATION_CASES[2:4]
"""Drawings on which the packages are run, at INPUTS of their steps; the modules are chosen on others."""


def written(stage: ExportStage, folder: Path, choice: Choice) -> dict[str, Path]:
    """The packages of a stage, by the way in which they were converted."""
    names = spelled(choice.names) if choice.names else NONE
    made: dict[str, Path] = {}
    for way, names_of_way in (("naive", NONE), ("float16", NONE), ("mixed", names)):
        (folder / way).mkdir(parents=True)
        options = CoreMLOptions(mixed_precision=names_of_way)
        if way == "naive":
            with patch("export.coreml.lower.decompositions", lambda layout: {}):
                made[way] = folder / way / lower(stage, folder / way, options)
        else:
            made[way] = folder / way / lower(stage, folder / way, options)
    return made


def judged(package: Path, stage: ExportStage, samples: Sequence[Mapping[str, Tensor]]) -> dict[str, Any]:
    """Size of a package, its operations in float32, and the worst ratio to PyTorch over some inputs."""
    program, ratios = Program.open(package), []
    for sample in samples:
        with torch.inference_mode():
            result = stage.module(**sample)
        wanted = result[0] if isinstance(result, tuple) else result
        found = program.run(**{name: value.numpy() for name, value in sample.items()})
        ratios.append(snr_db(wanted.numpy(), next(iter(found.values()))))
    computed = [node for node in nodes(CoreMLPackage.open(package).spec) if node.operation not in ("const", "cast")]
    wide = [node for node in computed if "FLOAT32" in node.outputs.values()]
    ratio = json_number(worst(ratios))
    return {
        "size_bytes": sum(file.stat().st_size for file in package.rglob("*.bin")),
        "snr_db": None if ratio is None else round(ratio, 2),
        "operations": len(computed),
        "operations_in_float32": len(wide),
    }


def examined(case: str, checkpoint: Path, folder: Path) -> dict[str, Any]:
    """One row: the stage of a case, converted in three ways."""
    model = overflowing(open_checkpoint(checkpoint, OpenOptions(steps=STEPS)), case)
    name, settings = STAGES[case], DrawSettings.of(model.config)
    runner = TorchRunner.from_model(model, 1)
    samples, others = (
        collect(runner, model.tokenizer, settings, cases)[name] for cases in (CALIBRATION_CASES[:2], JUDGED)
    )
    stage, choice = build_stage(model, name), Search(model, COREML, {name: samples}).choice(name)
    ways = {
        way: judged(path, stage, spread(others, INPUTS)) for way, path in written(stage, folder / case, choice).items()
    }
    weights = sum(parameter.numel() for parameter in stage.module.parameters())
    return {
        "stage": name,
        "names": list(choice.names),
        "weights_in_float32": choice.weights,
        "weights": weights,
        **ways,
    }


def main(
    cases: Names = None,
    out: Annotated[Path, typer.Option(help="JSON to write.")] = RESULTS / "mixed_precision.json",
) -> None:
    """Convert, run, write; cases that were measured before are kept."""
    found = read_result(out, {"cases": {}})
    for case in chosen(cases, STAGES, "case"):
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = write_checkpoint(MODEL, Path(folder) / MODEL, narrow=NARROW)
            found["cases"][case] = examined(case, checkpoint, Path(folder))
        about = {
            "model": MODEL,
            "narrow": NARROW,
            "steps": STEPS,
            "run_by": "export/coreml/interpret, as stored; no device",
        }
        write_result(out, {"conditions": conditions(1, **about), "cases": found["cases"]})
        typer.echo(json.dumps({case: found["cases"][case]}, indent=1))


if __name__ == "__main__":
    run_script(main, __doc__)
