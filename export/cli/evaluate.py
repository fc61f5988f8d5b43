"""`mobile-diffusion evaluate`: how good the pictures of a checkpoint, or of a bundle's programs, are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import progress_bar, results
from export.cli.export import Threads
from export.cli.opening import opens_checkpoint
from mobile_diffusion.formats.open_options import OpenOptions

WEIGHTS = Path("data/weights")


@opens_checkpoint
def evaluate(
    model: Annotated[str, typer.Argument(metavar="CHECKPOINT_OR_BUNDLE", help="What draws: folder, file or hub id.")],
    options: OpenOptions,
    data: Annotated[Path, typer.Option(help="Data set made by `mobile-diffusion data fetch`.")] = Path("data/emoji"),
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of figures and contact sheets.")] = Path(
        "build/evaluation"
    ),
    count: Annotated[int, typer.Option(help="Prompts of each set.")] = 48,
    seed: Annotated[int, typer.Option(help="Chooses the prompts; picture i is drawn with seed + i.")] = 0,
    seeds: Annotated[int, typer.Option(help="Pictures of a prompt, for diversity.")] = 4,
    training: Annotated[
        Path | None,
        typer.Option(
            help="Settings the U-Net was trained with, which say what it has seen: a run's settings.json or its TOML. "
            "By default training/unet-settings.json in the checkpoint, or in assets/emoji for its bundles."
        ),
    ] = None,
    weights: Annotated[Path, typer.Option(help="Folder for LPIPS's weights, fetched if absent.")] = WEIGHTS,
    runtime: Annotated[str | None, typer.Option(help="Runtime of the bundle; its primary one by default.")] = None,
    threads: Threads = 2,
) -> None:
    """Draw training captions, held-out concepts and held-out style combinations, and measure the pictures.

    Prints KID, retrieval, diversity, and LPIPS and PSNR of the autoencoder, with 95 % bootstrap intervals.

    Example:

        mobile-diffusion evaluate assets/emoji --data data/emoji --out build/evaluation
    """
    from export.report.quality import quality_screen
    from export.studies.evaluate import evaluate_model
    from mobile_diffusion.quality.evaluation import EvaluationSettings

    with progress_bar() as progress:
        evaluation, conditions, paths = evaluate_model(
            model,
            options,
            data,
            out,
            EvaluationSettings(count, seed, seeds),
            training,
            weights,
            runtime,
            threads,
            progress,
        )
    results().print(quality_screen(evaluation, conditions))
    results().print(f"{', '.join(path.name for path in paths)} in {out}", soft_wrap=True)
