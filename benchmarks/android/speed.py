"""Stages in float32 on this computer's processor: ExecuTorch naive and ours, PyTorch, ONNX Runtime, OpenVINO.

    pip install openvino==2026.4.1
    python -m benchmarks.android.speed                         # emoji and medium, about 10 minutes
    python -m benchmarks.android.speed --model snapfusion --way naive --way ours --way onnx --way openvino   # an hour

SnapFusion's U-Net takes 20 GB of memory.  Every way runs in its own process, interleaved: a round is a batch of
calls of each, so that other load on the machine affects all of them alike.  Ratios are medians over the rounds.
Every output is compared with PyTorch's.
"load" is from the file to a loaded program, "first" the first call; memory is the peak of the resident set above what
the process held before it loaded, and the weights of PyTorch's two ways are in it.  Products of 2048 x 2048 matrices
by PyTorch and by XNNPACK, in the same rounds, say what the machine could do: the faster is its peak.  Results go to
benchmarks/results/android_speed.json.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import nn

from benchmarks.android.models import MODELS, load_stage
from benchmarks.android.ways import WAYS, Arrays
from benchmarks.measuring.command_line import Threads, chosen, run_script
from benchmarks.measuring.results import conditions, read_result, write_result
from benchmarks.paths import RESULTS
from export.latency.measure import random_inputs
from export.signatures import TensorSpec
from export.stages import ExportStage
from mobile_diffusion.decibels import snr_db
from mobile_diffusion.inspection import stage_costs

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "android_speed.json"
STAGES = ("denoise", "decode_image")
REFERENCE = "eager"
SIDE = 2048
"""Of the square matrices that show the machine's peak."""
BATCH_S = 1.0
"""Seconds of calls in a batch; one call at least."""
PAUSE_S = 0.2
"""Between batches: threads of the one before stop to spin."""


@dataclass
class Row:
    """One way with one stage of one model."""

    model: str
    stage: str
    way: str
    title: str
    median_ms: float = 0.0
    quartiles_ms: tuple[float, float] = (0.0, 0.0)
    relative: float = 0.0
    """Median over rounds of this way's time, divided by ours."""
    load_s: float = 0.0
    first_ms: float = 0.0
    peak_mb: float = 0.0
    file_mb: float = 0.0
    gflops: float = 0.0
    """Billions of operations a second, two for each multiply-accumulate of the stage as PyTorch computes it."""
    of_peak: float = 0.0
    snr_db: float = 0.0
    """Of the output against PyTorch's."""
    rounds: list[float] = field(default_factory=list)
    """Median of each round, in ms."""


class MatrixProduct(nn.Module):
    """What shows the machine's peak."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(SIDE, SIDE, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(1, SIDE, SIDE) -> (1, SIDE, SIDE)."""
        return self.linear(x)


def product_stage() -> ExportStage:
    """The product as a stage."""
    spec = TensorSpec("x", "float32", (1, SIDE, SIDE))
    return ExportStage("product", MatrixProduct().eval().requires_grad_(False), (spec,), (spec,))


def find_stage(model: str, stage: str) -> ExportStage:
    """A stage of a model, or the product."""
    return product_stage() if stage == "product" else load_stage(model, stage)


def serve(connection: Connection, model: str, stage_name: str, way: str, folder: Path, threads: int) -> None:
    """A process that opens one way, then answers each number of seconds with the times of a batch of calls."""
    torch.set_num_threads(threads)
    stage = find_stage(model, stage_name)
    arrays: Arrays = random_inputs({stage_name: stage}, seed=0)[stage_name]
    if WAYS[way].make is not None:
        stage = replace(stage, module=nn.Identity())  # its weights would count as the way's memory
    import_module(WAYS[way].package)
    held, begin = resident("VmRSS"), time.perf_counter()
    run = WAYS[way].open(stage, folder, arrays, threads)
    loaded = time.perf_counter()
    output = run().copy()
    first = time.perf_counter()
    connection.send((loaded - begin, first - loaded, output))
    while (seconds := connection.recv()) is not None:
        connection.send((batch(run, seconds), (resident("VmHWM") - held) / 1e6))


def batch(run: Any, seconds: float) -> list[float]:
    """Milliseconds of each call, for so many seconds, one call at least."""
    times: list[float] = []
    while not times or sum(times) < seconds * 1000:
        begin = time.perf_counter()
        run()
        times.append((time.perf_counter() - begin) * 1000)
    return times


def resident(name: str) -> float:
    """Bytes of this process: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def measure(model: str, stage: str, ways: Sequence[str], work: Path, threads: int, rounds: int) -> list[Row]:
    """All ways with one stage, interleaved."""
    folders = {way: made(model, stage, way, work) for way in ways}
    expected = reference_output(model, stage, work, threads)
    rows, pipes, outputs = [], {}, {}
    for way in ways:
        ours = start(model, stage, way, folders[way], threads)
        load, first, outputs[way] = ours.recv()
        size = sum(path.stat().st_size for path in folders[way].rglob("*") if path.suffix != ".json")
        rows.append(Row(model, stage, way, WAYS[way].title, load_s=load, first_ms=first * 1000, file_mb=size / 1e6))
        pipes[way] = ours
        LOGGER.info("%s %s %s: loaded in %.1f s", model, stage, way, load)
    times: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for row in rows:
            time.sleep(PAUSE_S)
            pipes[row.way].send(BATCH_S)
            found, row.peak_mb = pipes[row.way].recv()
            times[row.way] += found
            row.rounds.append(statistics.median(found))
    for row in rows:
        pipes[row.way].send(None)
        row.median_ms = statistics.median(times[row.way])
        row.quartiles_ms = (float(np.percentile(times[row.way], 25)), float(np.percentile(times[row.way], 75)))
        row.snr_db = min(snr_db(expected, outputs[row.way]), 300.0)
    return rows


def start(model: str, stage: str, way: str, folder: Path, threads: int) -> Connection:
    """Our end of a process that serves one way."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    context.Process(target=serve, args=(theirs, model, stage, way, folder, threads), daemon=True).start()
    return ours


def reference_output(model: str, stage: str, work: Path, threads: int) -> np.ndarray:
    """What PyTorch makes of the same input, by a process that ends before anything is timed."""
    pipe = start(model, stage, REFERENCE, work, threads)
    output: np.ndarray = pipe.recv()[2]
    pipe.send(None)
    return output


def made(model: str, stage: str, way: str, work: Path) -> Path:
    """The folder with a way's files, made in a process of its own."""
    folder = work / model / f"{stage}-{way}"
    folder.mkdir(parents=True, exist_ok=True)
    if WAYS[way].make is not None and not any(folder.iterdir()):
        process = multiprocessing.get_context("spawn").Process(target=_make, args=(model, stage, way, folder))
        process.start()
        process.join()
        if process.exitcode != 0:
            raise RuntimeError(f"{way} of {model} {stage} was not made: {process.exitcode}")
    return folder


def _make(model: str, stage: str, way: str, folder: Path) -> None:
    make = WAYS[way].make
    assert make is not None
    make(find_stage(model, stage), folder)


def finish(rows: list[Row], peak_gflops: float, operations: float) -> None:
    """Fill in what follows from the times."""
    ours = next((row for row in rows if row.way == "ours"), rows[0])
    for row in rows:
        row.relative = statistics.median(a / b for a, b in zip(row.rounds, ours.rounds, strict=True))
        row.gflops = operations / row.median_ms / 1e6
        row.of_peak = row.gflops / peak_gflops if peak_gflops else 0.0


def main(
    model: Annotated[list[str] | None, typer.Option(help="May be repeated; emoji and medium by default.")] = None,
    stage: Annotated[list[str] | None, typer.Option(help="May be repeated; all by default.")] = None,
    way: Annotated[list[str] | None, typer.Option(help="May be repeated; all by default.")] = None,
    threads: Threads = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Batches of calls of each way.")] = 5,
    work: Annotated[Path | None, typer.Option(help="Folder that keeps what was lowered.")] = None,
) -> None:
    """Measure the peak, then every stage of every model, and write after each stage."""
    models, stages = chosen(model or ("emoji", "medium"), MODELS, "model"), chosen(stage, STAGES, "stage")
    ways = chosen(way, WAYS, "way")
    logging.getLogger("torchao").setLevel(logging.ERROR)
    stated = conditions(threads, rounds=rounds)
    with tempfile.TemporaryDirectory() as temporary:
        folder = work or Path(temporary)
        peaks = measure("", "product", ("eager", "ours"), folder, threads, rounds)
        finish(peaks, 0.0, 2.0 * SIDE**3)
        peak = max(row.gflops for row in peaks)
        LOGGER.info("peak of matrix products: %s", {row.way: round(row.gflops) for row in peaks})
        for name in models:
            costs = {cost.name: cost.macs for cost in stage_costs(MODELS[name])}
            for each in stages:
                found = measure(name, each, ways, folder, threads, rounds)
                finish(found, peak, 2.0 * costs[each])
                for row in found:
                    LOGGER.info("%s", json.dumps({key: value for key, value in asdict(row).items() if key != "rounds"}))
                keep([*peaks, *found], stated)


def keep(rows: list[Row], conditions: dict[str, Any]) -> None:
    """Replace earlier rows of the same model and stage."""
    earlier = read_result(RESULT, {"rows": []})["rows"]
    renewed = {(row.model, row.stage) for row in rows}
    others = [each for each in earlier if (each["model"], each["stage"]) not in renewed]
    new = [rounded(asdict(row)) | {"conditions": conditions} for row in rows]
    write_result(RESULT, {"rows": others + new})


def rounded(values: dict[str, Any]) -> dict[str, Any]:
    """Numbers to three decimals."""
    return {
        key: [round(each, 3) for each in value]
        if isinstance(value, list | tuple)
        else round(value, 3)
        if isinstance(value, float)
        else value
        for key, value in values.items()
    }


if __name__ == "__main__":
    run_script(main, __doc__)
