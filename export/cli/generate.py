"""`mobile-diffusion generate`: one picture, by PyTorch or by the programs of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import progress_bar, results
from export.cli.export import Threads


def generate(
    prompt: Annotated[str, typer.Argument(help="What to draw.")],
    seed: Annotated[int, typer.Option(help="0 to 2^64 - 1; the same seed gives the same picture everywhere.")] = 0,
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG to write.")] = Path("picture.png"),
    model: Annotated[Path, typer.Option(help="Checkpoint to draw with.")] = Path("assets/emoji"),
    bundle: Annotated[Path | None, typer.Option(help="Draw with this exported bundle instead.")] = None,
    runtime: Annotated[
        str | None,
        typer.Option(help="Runtime of the bundle, for example onnxruntime; its primary one by default."),
    ] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale, 0 to 30; the model's own by default.")] = None,
    steps: Annotated[
        int | None, typer.Option(help="Sampling steps; the model's own by default, and fixed in a bundle.")
    ] = None,
    threads: Threads = 2,
) -> None:
    """Draw a prompt.

    Example:

        mobile-diffusion generate "a red apple, 3d" --seed 7 -o apple.png
    """
    from PIL import Image

    from export.draw import check_picture_path, open_artist
    from export.report.pictures import save_picture
    from mobile_diffusion.pipeline import draw

    check_picture_path(out)
    with progress_bar() as progress:
        progress("opening the model", 0.0)
        artist = open_artist(model, bundle, runtime, steps, threads)
        count = artist.settings.steps
        pixels = draw(
            artist.run_stage,
            artist.tokenizer,
            artist.settings,
            prompt,
            seed,
            guidance,
            on_step=lambda step, _: progress(f"drawing with {artist.title}", (step + 1) / (count + 1)),
        )
    save_picture(Image.fromarray(pixels), out)
    results().print(f"{out}: {prompt[:60]!r} seed {seed}, by {artist.title}", soft_wrap=True)
