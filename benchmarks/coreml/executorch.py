"""The Core ML program inside an ExecuTorch delegate: ExecuTorch's own lowering beside ours.

    python -m benchmarks.coreml.executorch --work /tmp/delegates     # the emoji model, three stages: 2 minutes

Both write one `.pte` per stage for iOS 17, in float16.  The package is taken out of each file and run by the
interpreter on what PyTorch draws with one prompt: the text, every step, the decoding.  The figure is the worst SNR of a
stage's outputs.  Results go to benchmarks/results/executorch_delegate.json.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.measuring.command_line import Work, run_script
from benchmarks.measuring.results import conditions, write_result
from benchmarks.paths import EMOJI, RESULTS
from export.coreml.interpret import Program
from export.coreml.toolchain import NOISY_LOGGERS, import_coremltools, without_bars
from export.delegates import coreml
from export.delegates.lower import lower
from export.executorch.lower import inspect
from export.parity.record import record
from export.parity.trajectories import Case, Trajectory, latents_of
from export.quiet import errors_only
from export.runners.delegated import DelegatedRunner
from export.runners.torch import TorchRunner
from export.signatures import STAGES
from export.stages import ExportStage, build_stages
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.decibels import snr_db
from mobile_diffusion.drawing import DrawSettings

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "executorch_delegate.json"
CASE = Case("a red apple, 3d", 7)
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Row:
    """One stage, lowered in one way."""

    stage: str
    lowering: str
    """Whose it is."""
    delegates: int
    outside: int
    """Operations outside the delegates."""
    size_bytes: int
    worst_db: float
    """The lowest SNR of an output, over all calls of the stage."""


def calls(stage: str, trajectory: Trajectory, settings: DrawSettings) -> list[Arrays]:
    """The inputs of a stage while PyTorch draws."""
    if stage == "encode_text":
        return [dict(trajectory.prompts["context"])]
    if stage == "decode_image":
        return [{"latents": latents_of(trajectory.states[-1:], settings)}]
    return [trajectory.step_inputs(step, settings) for step in range(trajectory.steps)]


def by_executorch(stage: ExportStage, folder: Path) -> tuple[Path, int, int]:
    """Lower with ExecuTorch's partitioner; returns the file, its delegates, and the operations outside."""
    from executorch.backends.apple.coreml.compiler import CoreMLBackend
    from executorch.backends.apple.coreml.partition import CoreMLPartitioner
    from executorch.exir import to_edge_transform_and_lower

    ct = import_coremltools()
    specs = CoreMLBackend.generate_compile_specs(
        compute_precision=ct.precision.FLOAT16, minimum_deployment_target=ct.target.iOS17
    )
    with torch.no_grad(), errors_only(NOISY_LOGGERS), without_bars():
        exported = torch.export.export(stage.module, (), stage.example())
        partitioner = CoreMLPartitioner(compile_specs=specs)
        program = to_edge_transform_and_lower({stage.name: exported}, partitioner=[partitioner]).to_executorch()
    path = folder / f"{stage.name}.pte"
    with path.open("wb") as file:
        program.write_to_file(file)
    found = inspect(program, stage.name)
    return path, found.delegates, sum(found.undelegated.values())


def package_of(path: Path, stage: ExportStage, folder: Path) -> tuple[Program, list[str]]:
    """The package in ExecuTorch's own file, and the names of its outputs in the stage's order."""
    from executorch.backends.apple.coreml import executorchcoreml
    from executorch.exir._serialize._program import deserialize_pte_binary

    data = deserialize_pte_binary(path.read_bytes()).program.backend_delegate_data[0].data
    executorchcoreml.unflatten_directory_contents(bytes(data), str(folder))
    names = json.loads((folder / coreml.ROOT / coreml.METADATA).read_text(encoding="utf-8"))
    return Program.open(folder / coreml.ROOT / coreml.PACKAGE), names["outputNames"]


def measure(stage: ExportStage, inputs: list[Arrays], expected: list[Arrays], work: Path) -> list[Row]:
    """Both lowerings of a stage."""
    rows = []
    for lowering in ("ExecuTorch's", "ours"):
        folder = work / f"{stage.name}-{'ours' if lowering == 'ours' else 'executorch'}"
        (folder / "inside").mkdir(parents=True)
        if lowering == "ours":
            path, delegates, outside = folder / lower(stage, folder), 1, 0  # a file with more or less is refused
            runner = DelegatedRunner.load(folder, {stage.name: path.name})
            found = [runner.run(stage.name, **arrays) for arrays in inputs]
        else:
            path, delegates, outside = by_executorch(stage, folder)
            program, names = package_of(path, stage, folder / "inside")
            results = [program.run(**arrays) for arrays in inputs]
            outputs = [spec.name for spec in stage.outputs]
            found = [{o: each[n] for o, n in zip(outputs, names, strict=True)} for each in results]
        worst = min(
            snr_db(wanted[name], got[name].astype(np.float32))
            for wanted, got in zip(expected, found, strict=True)
            for name in wanted
        )
        rows.append(Row(stage.name, lowering, delegates, outside, path.stat().st_size, worst))
        LOGGER.info("%s", rows[-1])
    return rows


def main(work: Work) -> None:
    """Measure all stages of the emoji model."""
    source = open_checkpoint(EMOJI)
    settings, stages = DrawSettings.of(source.config), build_stages(source)
    reference = TorchRunner(stages, threads=2)
    trajectory = record(reference, source.tokenizer, settings, CASE)
    rows = []
    for name in STAGES:
        inputs = calls(name, trajectory, settings)
        expected = [reference.run(name, **arrays) for arrays in inputs]
        rows += measure(stages[name], inputs, expected, work)
    found = {"conditions": conditions(2, prompt=CASE.prompt), "rows": [asdict(row) for row in rows]}
    write_result(RESULT, found)


if __name__ == "__main__":
    run_script(main, __doc__)
