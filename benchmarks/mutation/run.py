"""Plants every fault of the catalogue into programs of every runtime, and writes down which check catches it.

    python -m benchmarks.mutation.run --work /tmp/mutation              # all; `make mutation` does the same
    python -m benchmarks.mutation.run --work /tmp/mutation onnx-fp32

The model is the small one of the golden files, whose weights are noise and whose drawings depend on every one of them.
Its programs as they should be are compared with PyTorch first; then, for each fault, the stage is changed, lowered and
compared in the same way.  A fault is caught by a gate, by the figures of the export, which `verify` measures again,
or by the lowering itself.  Results go to benchmarks/results/mutation.json.
"""

from __future__ import annotations

import copy
import logging
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from assets.golden.models import MODELS
from assets.golden.record import FOLDER
from benchmarks.measuring.command_line import Names, Work, chosen, run_script
from benchmarks.measuring.results import conditions, read_result, write_result
from benchmarks.mutation.catalogue import FAULTS, Fault
from benchmarks.paths import RESULTS
from export.evidence.figures import check_measured_again
from export.parity.compare import compare_runners
from export.parity.record import record
from export.parity.report import ParityReport
from export.parity.trajectories import CASES, Trajectory
from export.runners.torch import TorchRunner
from export.runtime import Runtime
from export.stages import ExportStage, build_stage
from export.targets import COREAI, COREML, ONNX, XNNPACK, load_runner, lower
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import ExportError, MobileDiffusionError
from mobile_diffusion.schedule import step_table
from mobile_diffusion.tokenization.tokenizer import open_tokenizer

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "mutation.json"
MODEL = MODELS["ddim"]
WAYS: Mapping[str, Runtime] = {
    "onnx-fp32": ONNX,
    "xnnpack-fp32": XNNPACK,
    "xnnpack-fp16": XNNPACK.at("fp16"),
    "coreml-fp16": COREML,
    "coreai-fp16": COREAI.at("fp16"),
}
CASE_COUNT = 2
FIGURES, LOWERING = "figures", "lowering"


@dataclass(frozen=True)
class Caught:
    """What became of a fault."""

    way: str
    """Runtime and precision."""
    fault: str
    stage: str
    by: tuple[str, ...]
    """Checks that failed, in the order in which an app computes; "figures" and "lowering" besides them; () for none."""
    expected: bool
    """Whether it has to be caught."""


@dataclass(frozen=True, eq=False)
class Bench:
    """The programs of one runtime as they should be, and what PyTorch drew."""

    way: str
    runtime: Runtime
    folder: Path
    programs: Mapping[str, str]
    drawn: tuple[Trajectory, ...]

    def compare(self, folder: Path, programs: Mapping[str, str]) -> ParityReport:
        """The programs of a folder beside PyTorch."""
        settings, table = DrawSettings.of(MODEL.config), step_table(MODEL.config.schedule)
        runner = load_runner(self.runtime, folder, programs, 1)
        return compare_runners([(self.runtime, runner)], self.drawn, settings, table, "trajectory")[0]

    def with_fault(self, fault: Fault, recorded: ParityReport) -> Caught:
        """Plant a fault, and look which check finds it."""
        folder = self.folder.with_name("fault")
        shutil.copytree(self.folder, folder)
        try:
            found = self._checks(fault, folder, recorded)
        finally:
            shutil.rmtree(folder)
        return Caught(self.way, fault.name, fault.stage, found, not fault.undetectable)

    def _checks(self, fault: Fault, folder: Path, recorded: ParityReport) -> tuple[str, ...]:
        stage: ExportStage = copy.deepcopy(build_stage(MODEL, fault.stage))
        fault.plant(stage.module)
        remove(folder / self.programs[fault.stage])
        try:
            programs = {**self.programs, fault.stage: lower(self.runtime, stage, folder)}
            report = self.compare(folder, programs)
        except (MobileDiffusionError, ValueError) as error:
            LOGGER.info("%s: %s: %s", self.way, fault.name, error)
            return (LOWERING,)
        failed = {failure.measurement.check for failure in report.failures}
        figures = [FIGURES] if check_measured_again(recorded, report) else []
        return (*(check for check in report.checks if check in failed), *figures)


def remove(path: Path) -> None:
    """Remove a program, which is a file or a folder."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def reference() -> tuple[Trajectory, ...]:
    """What PyTorch draws."""
    config = MODEL.config
    tokenizer = open_tokenizer(config.tokenizer, FOLDER / MODEL.tokenizer, config.text.max_tokens)
    runner = TorchRunner.from_model(MODEL, 1)
    return tuple(record(runner, tokenizer, DrawSettings.of(config), case) for case in CASES[:CASE_COUNT])


def prepare(way: str, work: Path) -> tuple[Bench, ParityReport]:
    """Lower the stages as they should be; raises `ExportError` when they do not pass."""
    folder, runtime = work / way / "right", WAYS[way]
    shutil.rmtree(work / way, ignore_errors=True)
    programs = {stage: lower(runtime, build_stage(MODEL, stage), folder) for stage in MODEL.stages()}
    bench = Bench(way, runtime, folder, programs, reference())
    recorded = bench.compare(folder, programs)
    if not recorded.passed:
        raise ExportError(f"{way}: expected programs without a fault to pass, got {recorded.failures[0]}")
    return bench, recorded


def plant_all(way: str, work: Path, faults: tuple[Fault, ...] = FAULTS) -> list[Caught]:
    """Every fault in one runtime."""
    bench, recorded = prepare(way, work)
    found = []
    for fault in faults:
        found.append(bench.with_fault(fault, recorded))
        LOGGER.info("%s: %s: %s", way, fault.name, ", ".join(found[-1].by) or "NOT CAUGHT")
    shutil.rmtree(work / way)
    return found


def main(work: Work, names: Names = None) -> None:
    """Plant all faults, runtime by runtime, and write after each; the status is 1 when one is missed."""
    missed = []
    for way in chosen(names, WAYS, "runtime"):
        rows = plant_all(way, work)
        missed += [row for row in rows if row.expected and not row.by]
        kept = [row for row in read_result(RESULT, {"rows": []})["rows"] if row["way"] != way]
        stated = conditions(1, model="golden files' ddim", cases=CASE_COUNT)
        write_result(RESULT, {"conditions": stated, "rows": [*kept, *map(asdict, rows)]})
    if missed:
        raise ExportError("expected every fault to be caught, got " + "; ".join(f"{r.way}: {r.fault}" for r in missed))


if __name__ == "__main__":
    run_script(main, __doc__)
