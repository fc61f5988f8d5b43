"""Measures the milestones that `mobile-diffusion milestones` shows: costs and quality per row, interleaved times.

    .venv/bin/python -m benchmarks.snapfusion.milestones quality --row student-8 --count 48  # minutes per row
    .venv/bin/python -m benchmarks.snapfusion.milestones latency --rounds 7  # all rows, a minute per round

Rows are those of benchmarks/snapfusion/rows.toml, or of --rows FILE.  Each is exported for ExecuTorch in float32 into
the work folder, where a bundle of the same checkpoint is reused, and its pictures are drawn by the bundle.
Times of all rows are interleaved, and each round loads the programs anew, so that other load on the machine affects
all rows alike.  A row that is measured again is replaced in benchmarks/results/snapfusion.json.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.measuring.command_line import Data, Threads, one_of, run_script
from benchmarks.paths import RESULTS
from benchmarks.snapfusion.rows import ROWS, RUNTIME, RowPlan, bundle_of, read_rows
from export.bundle.bundle import Bundle
from export.cli.display import progress_bar
from export.job.plan import parameter_count
from export.latency.measure import Inputs, read_conditions, recorded_inputs, time_runner
from export.studies.evaluate import evaluate_model
from export.studies.snapfusion.milestones import (
    Milestone,
    Results,
    RowTimes,
    SetFigures,
    Timing,
    read_results,
    write_results,
)
from export.targets import open_runner
from export.verify import read_trajectories
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.data import load_dataset
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.inspection import stage_costs
from mobile_diffusion.quality.evaluation import EvaluationSettings, SetReport
from mobile_diffusion.quality.prompts import PromptSet, prompt_sets, read_training

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "snapfusion.json"
DIGITS = 6
"""Significant ones of a resample that are kept."""
STAGES = ("encode_text", "denoise", "decode_image")


@dataclass(frozen=True)
class Places:
    """Where everything lies."""

    data: Path
    weights: Path
    work: Path
    results: Path
    threads: int

    def read(self) -> Results:
        """What has been measured so far."""
        return read_results(self.results) if self.results.exists() else Results()


def measure_quality(
    name: str, plan: RowPlan, training: Path, settings: EvaluationSettings, places: Places
) -> Milestone:
    """Export, draw and measure a row."""
    source = plan.open()
    bundle = bundle_of(name, plan, places.work / "bundles", places.threads)
    with progress_bar() as progress:
        evaluation, conditions, _ = evaluate_model(
            str(bundle.path),
            OpenOptions(),
            places.data,
            places.work / "evaluations" / name,
            settings,
            training,
            places.weights,
            RUNTIME,
            places.threads,
            progress,
        )
    prompts = prompt_sets(load_dataset(places.data), read_training(training), settings.count, settings.seed)
    return Milestone(
        name=name,
        title=plan.title,
        checkpoint=plan.checkpoint,
        source_sha256=source.source_hash,
        steps=source.config.schedule.steps,
        guidance=source.config.schedule.guidance,
        evaluations=2 if source.config.schedule.applied_guidance == "cfg" else 1,
        **costs_of(source.config),
        artifact_bytes=sum(size_of(bundle).values()),
        drawn_by=conditions["drawn_by"],
        count=settings.count,
        seed=settings.seed,
        sets=tuple(figures_of(*each) for each in zip(evaluation.sets, prompts, strict=True)),
    )


def costs_of(config: ModelConfig) -> dict[str, int]:
    """Parameters and multiply-accumulates of one evaluation of the U-Net, and of the decoder."""
    single = replace(config, schedule=replace(config.schedule, guidance_kind="distilled"))
    costs = {cost.name: cost for cost in stage_costs(single)}
    decoder = costs["decode_image"]
    return {
        "unet_parameters": parameter_count(config),
        "unet_macs": costs["denoise"].macs,
        "decoder_parameters": decoder.parameters,
        "decoder_macs": decoder.macs,
    }


def size_of(bundle: Bundle) -> dict[str, int]:
    """Bytes of each program."""
    artifacts = bundle.artifacts(bundle.runtime(RUNTIME))
    return {stage: (bundle.path / path).stat().st_size for stage, path in artifacts.items()}


def figures_of(report: SetReport, prompts: PromptSet) -> SetFigures:
    """A set's figures as they are kept."""
    quality, score = report.quality, report.quality.retrieval
    return SetFigures(
        name=report.name,
        prompts_sha256=hashlib.sha256("\n".join(prompts.captions).encode()).hexdigest(),
        references=quality.references,
        kid=quality.kid,
        recall_1=score.recall_1,
        recall_5=score.recall_5,
        cosine=score.cosine,
        real_recall_5=report.real.recall_5,
        ranks=score.ranks,
        cosines=tuple(rounded(value) for value in score.cosines),
        kid_resamples=tuple(None if value is None else rounded(value) for value in quality.kid_resamples),
    )


def rounded(value: float) -> float:
    """DIGITS significant digits of it."""
    return float(f"{value:.{DIGITS}g}")


def measure_times(plans: Mapping[str, RowPlan], rounds: int, runs: int, places: Places) -> Timing:
    """Times of every row's programs, interleaved by row."""
    conditions = read_conditions()
    bundles = {name: bundle_of(name, plan, places.work / "bundles", places.threads) for name, plan in plans.items()}
    inputs = {name: recorded_inputs(read_trajectories(each)[0], each.settings()) for name, each in bundles.items()}
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in bundles}
    for number in range(rounds):
        for name, bundle in bundles.items():
            taken[name].append(one_round(bundle, inputs[name], runs, places.threads))
        LOGGER.info("round %d: %s", number + 1, {name: round(each[-1]["denoise"], 1) for name, each in taken.items()})
    rows = tuple(
        RowTimes(
            name,
            bundle.manifest.model.source_sha256,
            bundle.settings().steps,
            **{stage: tuple(rounded(each[stage]) for each in taken[name]) for stage in STAGES},
        )
        for name, bundle in bundles.items()
    )
    return Timing(conditions, "ExecuTorch (XNNPACK)", places.threads, runs, rows)


def one_round(bundle: Bundle, inputs: Inputs, runs: int, threads: int) -> dict[str, float]:
    """Median milliseconds of each stage; its programs are loaded, warmed up, and let go."""
    runner = open_runner(bundle, RUNTIME, threads)[1]
    times = {each.stage: each.median_ms for each in time_runner(runner, inputs, runs=runs).stages}
    return {stage: times[stage] for stage in STAGES}


def main(
    what: Annotated[str, typer.Argument(help="quality or latency.", callback=one_of(("quality", "latency"), "name"))],
    rows: Annotated[Path, typer.Option(help="TOML file of the rows.")] = ROWS,
    row: Annotated[list[str] | None, typer.Option(help="These rows only; the times of the others are dropped.")] = None,
    training: Annotated[Path | None, typer.Option(help="Settings that choose the prompts, not the TOML's.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Prompts of a set.")] = 48,
    seed: Annotated[int, typer.Option(help="Chooses the prompts.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, help="Of timing.")] = 7,
    runs: Annotated[int, typer.Option(min=1, help="Calls of each stage in a round.")] = 10,
    threads: Threads = 2,
    data: Data = Path("data/emoji"),
    weights: Annotated[Path, typer.Option(help="Folder of LPIPS's weights.")] = Path("data/weights"),
    work: Annotated[Path, typer.Option(help="Folder of bundles and contact sheets.")] = Path("build/stages"),
    results: Annotated[Path, typer.Option(help="JSON to write.")] = RESULT,
) -> None:
    """Measure and keep, row by row."""
    torch.set_num_threads(threads)
    plans, places = read_rows(rows), Places(data, weights, work, results, threads)
    wanted = plans.choose(row)
    if what == "latency":
        timing = measure_times(wanted, rounds, runs, places)
        write_results(replace(places.read(), timing=timing), places.results)
        return
    settings = EvaluationSettings(count, seed, seeds=2, diversity_prompts=2)
    for name, plan in wanted.items():
        milestone = measure_quality(name, plan, training or plans.training, settings, places)
        write_results(places.read().with_row(milestone, list(plans.rows)), places.results)
        for each in milestone.sets:
            LOGGER.info("%s, %s: KID %s, R@5 %s", name, each.name, each.kid, each.recall_5)


if __name__ == "__main__":
    run_script(main, __doc__)
