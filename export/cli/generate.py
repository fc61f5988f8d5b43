"""`mobile-diffusion generate`: a picture or several, drawn by PyTorch or by the programs of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from export.cli.display import progress_bar
from export.cli.parameters import DEFAULT_THREADS, Threads
from mobile_diffusion.cli.opening import Model, Opening, checkpoint_or_emoji, parse_scales
from mobile_diffusion.cli.terminal import results, typed_text

SHOWN = 60
"""Characters of the prompt in the last line."""


def generate(
    prompt: Annotated[str, typer.Argument(help="What to draw.")],
    opening: Opening,
    seed: Annotated[int, typer.Option(help="0 to 2^64 - 1; the same seed gives the same picture everywhere.")] = 0,
    batch: Annotated[
        int, typer.Option(min=1, help="Pictures to draw, with this seed and those after it: picture-0.png, ...")
    ] = 1,
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG to write.")] = Path("picture.png"),
    model: Model = None,
    bundle: Annotated[Path | None, typer.Option(help="Draw with this exported bundle, not with PyTorch.")] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            help="Runtime of the bundle: coreml, coreai, executorch, xnnpack or onnx. Default: its primary one."
        ),
    ] = None,
    negative: Annotated[str, typer.Option(help="What the picture should not show.")] = "",
    prompt_syntax: Annotated[
        str,
        typer.Option(
            help="How both prompts write weights: plain (none), a1111 as in 'a (red:1.4) apple', or compel as in "
            "'a red++ apple'."
        ),
    ] = "plain",
    image: Annotated[Path | None, typer.Option(help="Picture to start from.")] = None,
    strength: Annotated[
        float | None,
        typer.Option(help="How much of --image to redraw, above 0 and up to 1. Default: 0.8, or 1 with --mask."),
    ] = None,
    mask: Annotated[
        Path | None, typer.Option(help="Black and white picture; redraw --image where it is white or transparent.")
    ] = None,
    image_guidance: Annotated[
        float | None,
        typer.Option(help="How closely a model that edits pictures follows --image, 1 to 30. Default: 1.5."),
    ] = None,
    hint: Annotated[
        list[Path] | None,
        typer.Option(help="Picture for a ControlNet, resized to the model's size. One per ControlNet, in their order."),
    ] = None,
    hint_scale: Annotated[
        list[float] | None, typer.Option(help="Strength of each --hint, in their order, 0 to 2. Default: 1.")
    ] = None,
    adapter_scale: Annotated[
        list[str] | None,
        typer.Option(help="Turns an adapter on, at a scale from -5 to 5: ink=0.7. May be repeated. Default: all off."),
    ] = None,
    adapter_file: Annotated[
        list[Path] | None,
        typer.Option(
            help="Adds an adapter to a bundle, by the name of its file: `export adapter` makes it. Repeatable."
        ),
    ] = None,
    threads: Threads = DEFAULT_THREADS,
) -> None:
    """Draw a prompt.

    Example:

        mobile-diffusion generate "a red apple, 3d" --seed 7 -o apple.png
    """
    from PIL import Image

    from export.artists.artist import check_picture_path, open_artist
    from export.artists.start_picture import open_hints, open_start
    from export.report.pictures import save_picture
    from mobile_diffusion.adapters import scaled
    from mobile_diffusion.drawing import draw_seeds
    from mobile_diffusion.errors import PromptError
    from mobile_diffusion.noise import check_seed

    options, words = opening.options(), typed_text(prompt)
    scales = parse_scales(adapter_scale or [])
    check_picture_path(out)
    paths = {each: _path_of(out, each, batch) for each in range(seed, check_seed(seed + batch - 1) + 1)}
    with progress_bar() as progress:
        progress("opening the model", 0.0)
        artist = open_artist(checkpoint_or_emoji(model), bundle, options, runtime, threads, adapter_file or [])
        start = open_start(image, strength, mask, artist.settings, image_guidance)
        hints = open_hints(hint or [], hint_scale or [], artist.settings)
        if start is not None and not artist.images:
            raise PromptError(f"--image: expected a bundle that was exported with --image-to-image, got {bundle}")
        title = f"drawing with {artist.title}"
        steps, written = artist.settings.steps, list[Path]()
        pictures = draw_seeds(
            artist.run_stage,
            artist.tokenizer,
            artist.settings,
            words,
            list(paths),
            options.guidance if bundle is not None else None,
            lambda step, _: progress(title, (len(written) + (step + 1) / (steps + 1)) / batch),
            typed_text(negative),
            start,
            prompt_syntax,
            hints,
            scaled(artist.adapters, scales),
        )
        for path, pixels in zip(paths.values(), pictures, strict=True):
            save_picture(Image.fromarray(pixels), path)
            written.append(path)
    for each, path in paths.items():
        results().print(f'{path}: "{words[:SHOWN]}" seed {each}, by {artist.title}', soft_wrap=True)


def _path_of(out: Path, seed: int, batch: int) -> Path:
    """The file of one picture: of several, the seed follows the name."""
    return out if batch == 1 else out.with_stem(f"{out.stem}-{seed}")
