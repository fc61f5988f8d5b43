"""The two layouts of Core ML programs: their operations, the time of lowering, their precision.

    python -m benchmarks.coreml.layouts --work /tmp/layouts emoji     # the emoji model, three stages: 3 minutes
    python -m benchmarks.coreml.layouts --work /tmp/layouts sd15      # the U-Net at full size, lowered only: 5 GB

Every program is lowered in a process of its own (seconds without imports and the making of the model) and, for the
emoji model, run by the interpreter against PyTorch in float32 on seeded inputs: latents of normal numbers, the text of
a real prompt.  The SNR of `denoise` is that of the network's part of the latents.  Stable Diffusion 1.5 has random
weights.  Results go to benchmarks/results/coreml_layouts.json, a row each.
"""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from benchmarks.checkpoints.full_size_stages import STEP, Clock
from benchmarks.measuring.command_line import Work, chosen, run_script
from benchmarks.measuring.peak_memory import measure_call
from benchmarks.measuring.random_model import RandomModel
from benchmarks.measuring.results import conditions, read_result, write_result
from benchmarks.paths import EMOJI, RESULTS
from export.coreml.interpret import Program
from export.coreml.layout import layout_of
from export.coreml.lower import lower
from export.coreml.options import CoreMLOptions
from export.coreml.toolchain import import_coremltools
from export.runners.coreml_interpreter import CoreMLInterpreterRunner
from export.stages import ExportStage, build_stage
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.decibels import snr_db
from mobile_diffusion.presets import preset

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "coreml_layouts.json"
PROMPT = "a red apple, 3d"
UNITS = ("CPU_AND_NE", "CPU_AND_GPU")
SHOWN = ("conv", "linear", "einsum", "matmul", "scaled_dot_product_attention", "transpose", "reshape", "gather")
"""Operations of which the layouts have different numbers."""
SYSTEM = "iOS17"
CASES = (
    *(("emoji", stage, units, SYSTEM) for stage in ("denoise", "encode_text", "decode_image") for units in UNITS),
    ("emoji", "denoise", "CPU_AND_GPU", "iOS18"),
    ("sd15", "denoise", "CPU_AND_NE", SYSTEM),
)
"""Model, stage, compute units and system of every program; iOS 18 is another one in the GPU's layout alone."""
GIGA = 1e9


@dataclass(frozen=True)
class Row:
    """One program."""

    model: str
    stage: str
    layout: str
    system: str
    """The deployment target."""
    seconds: float
    """Of lowering."""
    cpu_seconds: float
    """The same on all cores, waiting left out: what a busy machine does not change."""
    peak_gb: float
    """Resident, mapped files included."""
    private_gb: float
    """Resident and in no file."""
    size_gb: float
    operations: int
    """All of the program, constants left out."""
    rank: int
    """The most axes of a tensor."""
    counts: dict[str, int]
    """Of the operations of SHOWN."""
    snr_db: float | None = None
    """As stored, against PyTorch."""


def stage_of(model: str, name: str) -> ExportStage:
    """A stage of the emoji model, or of a preset with random weights."""
    return build_stage(open_checkpoint(EMOJI) if model == "emoji" else RandomModel(preset(model), seed=0), name)


def lowered(model: str, stage: str, options: CoreMLOptions, folder: Path) -> dict[str, Any]:
    """Lower a stage, and count what it became."""
    made = stage_of(model, stage)
    ct = import_coremltools()
    clock = Clock()
    path = folder / lower(made, folder, options)
    taken: dict[str, Any] = clock.read()
    found = layout_of(ct.models.MLModel(str(path), skip_model_load=True).get_spec())
    counts = {name: found.operations[name] for name in SHOWN if name in found.operations}
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return taken | {"size_gb": size / GIGA, "operations": found.total, "rank": found.rank, "counts": counts}


def arrays_of(stage: ExportStage) -> dict[str, np.ndarray]:
    """Seeded inputs of a stage of the emoji model."""
    generator = np.random.default_rng(0)
    tokens = open_checkpoint(EMOJI).tokenizer.encode(PROMPT)
    fixed = {
        "tokens": tokens.ids[None],
        "mask": tokens.mask[None],
        "step": np.array([STEP], np.int32),
        "guidance": np.array([3.0], np.float32),
    }
    if stage.name == "denoise":
        text = stage_of("emoji", "encode_text")
        (context,) = run_torch(text, {"tokens": fixed["tokens"], "mask": fixed["mask"]})
        fixed["context"] = context
    return {
        spec.name: fixed[spec.name] if spec.name in fixed else generator.standard_normal(spec.shape, np.float32)
        for spec in stage.inputs
    }


@torch.inference_mode()
def run_torch(stage: ExportStage, arrays: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    """What PyTorch computes."""
    result = stage.module(**{key: torch.from_numpy(value) for key, value in arrays.items()})
    return tuple(value.numpy() for value in (result if isinstance(result, tuple) else (result,)))


def exactness(stage: str, folder: Path) -> float:
    """SNR of a package of the emoji model in dB."""
    made = stage_of("emoji", stage)
    arrays = arrays_of(made)
    (wanted,) = run_torch(made, arrays)
    kept: Any = made.module.update.m00[STEP].numpy() * arrays["latents"] if stage == "denoise" else 0.0  # type: ignore[union-attr]
    runner = CoreMLInterpreterRunner({stage: Program.open(folder / f"{stage}.mlpackage")}, threads=1)
    (got,) = runner.run(stage, **arrays).values()
    return snr_db(wanted - kept, got - kept)


def measured(model: str, stage: str, units: str, system: str, work: Path) -> Row:
    """One program, made and run."""
    options = CoreMLOptions(compute_units=units, deployment_target=system)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    taken = measure_call(lowered, model, stage, options, work)
    found = {"peak_gb": taken.peak_bytes / GIGA, "private_gb": taken.private_bytes / GIGA, **taken.result}
    if model == "emoji":
        found["snr_db"] = exactness(stage, work)
    shutil.rmtree(work)
    rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in found.items()}
    return Row(model, stage, options.layout, system, **rounded)


def keep(row: Row) -> None:
    """Replace the earlier row."""
    earlier = read_result(RESULT, {"rows": []})["rows"]
    new = asdict(row)
    names = ("model", "stage", "layout", "system")
    others = [each for each in earlier if any(each[name] != new[name] for name in names)]
    write_result(
        RESULT,
        {
            "conditions": conditions(
                torch.get_num_threads(), torch=torch.__version__, coremltools=import_coremltools().__version__
            ),
            "rows": [*others, new],
        },
    )


def main(
    work: Work,
    models: Annotated[list[str] | None, typer.Argument(help="Of emoji and sd15; both by default.")] = None,
) -> None:
    """Measure every case of the models, and write after each."""
    wanted = chosen(models, ("emoji", "sd15"), "model")
    for model, stage, units, system in CASES:
        if model in wanted:
            row = measured(model, stage, units, system, work)
            keep(row)
            LOGGER.info("%s", json.dumps(asdict(row)))


if __name__ == "__main__":
    run_script(main, __doc__)
