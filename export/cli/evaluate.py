"""`mobile-diffusion evaluate`: how good the pictures of a checkpoint, or of a bundle's programs, are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import progress_bar
from export.cli.parameters import DEFAULT_THREADS, Threads
from mobile_diffusion.cli.opening import Opening, checkpoint_or_emoji
from mobile_diffusion.cli.terminal import Json, show

WEIGHTS = Path("data/weights")


def evaluate(
    opening: Opening,
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="CHECKPOINT_OR_BUNDLE", help="What draws: a folder, a file or a hub id. Default: the emoji model."
        ),
    ] = None,
    data: Annotated[Path, typer.Option(help="Data set made by `mobile-diffusion data fetch`.")] = Path("data/emoji"),
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of figures and contact sheets.")] = Path(
        "build/evaluation"
    ),
    count: Annotated[int, typer.Option(help="Prompts per set.")] = 48,
    seed: Annotated[int, typer.Option(help="Chooses the prompts; picture i is drawn with seed + i.")] = 0,
    seeds: Annotated[int, typer.Option(help="Pictures per prompt, for diversity.")] = 4,
    training: Annotated[
        Path | None,
        typer.Option(
            help="Settings that the U-Net was trained with: a run's settings.json or its TOML. They say what it has "
            "seen. Default: training/unet-settings.json in the checkpoint; for a bundle of the emoji model, its own."
        ),
    ] = None,
    weights: Annotated[Path, typer.Option(help="Folder for LPIPS's weights, fetched if absent.")] = WEIGHTS,
    runtime: Annotated[str | None, typer.Option(help="Runtime of the bundle. Default: its primary one.")] = None,
    threads: Threads = DEFAULT_THREADS,
    json: Json = False,
) -> None:
    """Draw captions that a model has seen and has not seen, and measure the pictures.

    Prints KID, retrieval and diversity, and PSNR and LPIPS of the autoencoder, with 95 % bootstrap intervals. The sets
    are training captions, held-out concepts and held-out combinations of concept and style.

    Example:

        mobile-diffusion evaluate --data data/emoji --out build/evaluation
    """
    from export.report.quality import quality_screen
    from export.studies.evaluate import evaluate_model
    from mobile_diffusion.quality.evaluation import EvaluationSettings
    from mobile_diffusion.quality.output import to_json

    with progress_bar() as progress:
        evaluation, conditions, paths = evaluate_model(
            str(checkpoint_or_emoji(model)),
            opening.options(),
            data,
            out,
            EvaluationSettings(count, seed, seeds),
            training,
            weights,
            runtime,
            threads,
            progress,
        )
    files = f"{', '.join(path.name for path in paths)} in {out}"
    show(json, to_json(evaluation, conditions), quality_screen(evaluation, conditions), files)
