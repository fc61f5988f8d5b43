"""`mobile-diffusion train`: one subcommand per recipe.

Only the display is here; the work is `mobile_diffusion.recipes`, imported when a command runs.
"""

from __future__ import annotations

import logging
import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.logging import RichHandler

from mobile_diffusion.cli.command_group import CommandGroup
from mobile_diffusion.cli.progress_bar import draw_progress
from mobile_diffusion.cli.terminal import messages, say
from mobile_diffusion.progress import Progress, silent
from mobile_diffusion.shipped import shipped_model

if TYPE_CHECKING:
    from mobile_diffusion.config_json import Config

app = CommandGroup(help="Train a model.")

Settings = Annotated[Path, typer.Argument(help="TOML file with the settings of the run.")]
Data = Annotated[Path, typer.Option(help="Data set from `mobile-diffusion data fetch`.")]
Pictures = Annotated[Path, typer.Option(help="Data set from `mobile-diffusion data fetch`, or `train shards`.")]
Run = Annotated[Path, typer.Option(help="Folder for state, loss curve and sample sheets; resumed if it exists.")]
Out = Annotated[Path, typer.Option(help="Checkpoint to write at the end.")]
Threads = Annotated[int, typer.Option(help="CPU threads; 0 uses torch's default.", min=0)]
WEIGHTS = Path("data/weights")


@app.callback()
def _group() -> None:
    """Train a model. Under torchrun several processes share every batch: see docs/scale.md."""
    level = logging.INFO if _is_first() else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", handlers=[RichHandler(console=messages(), show_path=False)])
    if "WORLD_SIZE" in os.environ:  # torch is slow to import
        from mobile_diffusion.training import workers

        workers.join()


def _is_first() -> bool:
    """Whether this is the first process of torchrun, or the only one; asks no torch, which is slow to import."""
    return os.environ.get("RANK", "0") == "0"


def _bar() -> AbstractContextManager[Progress]:
    """The bar of the first process; the others draw none."""
    return draw_progress(steady=True) if _is_first() else nullcontext(silent)


def _set_threads(threads: int) -> None:
    import torch

    if threads:
        torch.set_num_threads(threads)


def _read(settings: Path, kind: type[Config], threads: int) -> Config:
    """The settings of a recipe, after the number of threads is set."""
    from mobile_diffusion.training.settings import read_settings

    _set_threads(threads)
    return read_settings(settings, kind)


@app.command()
def autoencoder(
    settings: Settings,
    run: Run = Path("runs/autoencoder"),
    data: Data = Path("data/emoji"),
    weights: Annotated[Path, typer.Option(help="Folder of LPIPS's weights; downloaded if missing.")] = WEIGHTS,
    start: Annotated[Path | None, typer.Option(help="Finished run whose autoencoder this run continues.")] = None,
    threads: Threads = 0,
) -> None:
    """Train the autoencoder with L1 + LPIPS + KL. Resumes a killed run.

    Example:

        mobile-diffusion train autoencoder assets/emoji/training/autoencoder.toml --run runs/autoencoder
    """
    from mobile_diffusion.recipes.autoencoder import AutoencoderSettings, train_autoencoder

    read = _read(settings, AutoencoderSettings, threads)
    with _bar() as progress:
        quality = train_autoencoder(read, data, weights, run, start, progress)
    say(f"held-out PSNR {quality:.2f} dB; weights in {run}")


@app.command()
def unet(
    settings: Settings,
    run: Run = Path("runs/unet"),
    data: Pictures = Path("data/emoji"),
    autoencoder: Annotated[Path, typer.Option(help="Run that trained the autoencoder.")] = Path("runs/autoencoder"),
    text: Annotated[
        Path | None, typer.Option(help="Folder of text encoder and tokenizer; default: the emoji model's.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Checkpoint to write at the end.")] = None,
    start: Annotated[Path | None, typer.Option(help="Run whose averaged weights this run starts from.")] = None,
    threads: Threads = 0,
) -> None:
    """Train a new U-Net on precomputed latents. Resumes a killed run.

    Example:

        mobile-diffusion train unet assets/emoji/training/unet.toml --run runs/unet --out runs/emoji
    """
    from mobile_diffusion.recipes.unet import UNetSettings, train_unet

    read = _read(settings, UNetSettings, threads)
    with _bar() as progress:
        train_unet(read, data, autoencoder, text or shipped_model(), run, out, start, progress)
    say(f"trained; state, curve and sample sheets in {run}")


@app.command()
def robust(
    settings: Settings,
    model: Annotated[Path, typer.Option(help="Checkpoint to continue training.")] = Path("runs/emoji"),
    run: Run = Path("runs/robust"),
    out: Out = Path("runs/robust/checkpoint"),
    data: Pictures = Path("data/emoji"),
    threads: Threads = 0,
) -> None:
    """Continue training a U-Net with random block dropout (stochastic depth); `skip = 0.0` disables it.

    Example:

        mobile-diffusion train robust assets/emoji/training/robust.toml --run runs/robust --out runs/emoji-robust
    """
    from mobile_diffusion.recipes.robust import RobustSettings, train_robust

    read = _read(settings, RobustSettings, threads)
    with _bar() as progress:
        train_robust(read, data, model, run, out, progress)
    _report_trained(out, run)


@app.command()
def grow(
    model: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    preset: Annotated[str, typer.Option(help="Preset whose numbers of blocks the U-Net gets.")],
    out: Annotated[Path, typer.Option(help="Checkpoint to write.")],
    average: Annotated[Path | None, typer.Option(help="Run whose averaged weights to use.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the new blocks' weights.")] = 0,
) -> None:
    """Add blocks to a U-Net that are the identity until they are trained, to make a wider teacher.

    Example:

        mobile-diffusion train grow runs/emoji --preset emoji-wide --out runs/emoji-wide
    """
    from mobile_diffusion.recipes.grow import grow_checkpoint

    before, after = grow_checkpoint(model, preset, out, average, seed)
    say(f"{out} written: {before / 1e6:.1f} M -> {after / 1e6:.1f} M parameters; it draws as before")


@app.command()
def evolve(
    settings: Settings,
    table: Annotated[Path, typer.Option(help="Latency table from `mobile-diffusion export blocks`.")],
    target_ms: Annotated[float, typer.Option(help="Milliseconds that one evaluation may take.", min=0.001)],
    model: Annotated[Path, typer.Option(help="Checkpoint trained by `train robust`.")] = Path("runs/emoji-wide"),
    run: Run = Path("runs/evolution"),
    out: Annotated[Path, typer.Option(help="Checkpoint to write.")] = Path("runs/evolution/checkpoint"),
    data: Data = Path("data/emoji"),
    batches: Annotated[int, typer.Option(help="Batches on which every candidate is judged.", min=1)] = 16,
    threads: Threads = 0,
) -> None:
    """Remove the blocks that are worth least per millisecond until an evaluation is fast enough.

    Example:

        mobile-diffusion train evolve assets/emoji/training/wide.toml --table blocks.json --target-ms 14.8
    """
    from mobile_diffusion.recipes.evolve import PLOT, evolve_checkpoint
    from mobile_diffusion.recipes.robust import RobustSettings
    from mobile_diffusion.slimming.latency import read_table

    training = _read(settings, RobustSettings, threads).training
    with _bar() as progress:
        decisions = evolve_checkpoint(training, read_table(table), target_ms, batches, data, model, run, out, progress)
    for decision in decisions:
        say(f"{decision.action}: distance {-decision.quality:.5f}, {decision.step_ms:.1f} ms")
    say(f"{out} written; plot of the decisions in {run / PLOT}")


@app.command()
def distil(
    settings: Settings,
    teacher: Annotated[Path, typer.Option(help="Teacher checkpoint; must predict v.")] = Path("runs/emoji-teacher"),
    student: Annotated[
        Path | None, typer.Option(help="Checkpoint with the student's first weights; default: the teacher.")
    ] = None,
    run: Run = Path("runs/student"),
    out: Out = Path("runs/student/checkpoint"),
    data: Pictures = Path("data/emoji"),
    threads: Threads = 0,
) -> None:
    """Distil a teacher into a student of half the steps, of one evaluation per step, or both. Resumes a killed run.

    Example:

        mobile-diffusion train distil assets/emoji/training/student-8.toml --student runs/emoji-16 --out runs/emoji-8
    """
    from mobile_diffusion.recipes.distil import distil as distil_student
    from mobile_diffusion.recipes.teacher_student import DistillationSettings

    read = _read(settings, DistillationSettings, threads)
    with _bar() as progress:
        distil_student(read, data, teacher, run, out, student, progress)
    _report_trained(out, run)


@app.command()
def decoder(
    settings: Settings,
    model: Annotated[Path, typer.Option(help="Checkpoint whose decoder to slim.")] = Path("runs/emoji-8"),
    run: Run = Path("runs/decoder"),
    out: Out = Path("runs/decoder/checkpoint"),
    data: Data = Path("data/emoji"),
    threads: Threads = 0,
) -> None:
    """Prune the decoder's channels and train it to draw the full decoder's pictures. Resumes a killed run.

    Example:

        mobile-diffusion train decoder assets/emoji/training/decoder.toml --model runs/emoji-8 --out runs/emoji-phone
    """
    from mobile_diffusion.recipes.decoder import DecoderSettings, slim_decoder

    read = _read(settings, DecoderSettings, threads)
    with _bar() as progress:
        quality = slim_decoder(read, data, model, run, out, progress)
    say(f"{out} written; PSNR {quality:.2f} dB on held-out latents, compared with the full decoder")


@app.command()
def shards(
    out: Annotated[Path, typer.Option(help="Folder to write to; a killed command resumes.")],
    style: Annotated[list[str], typer.Option(help="Style of pictures to encode; repeatable.")],
    group: Annotated[
        list[str] | None, typer.Option(help="Group of concepts to encode; repeatable; default: all.")
    ] = None,
    data: Data = Path("data/emoji"),
    model: Annotated[
        Path | None, typer.Option(help="Checkpoint whose networks encode; default: the emoji model.")
    ] = None,
    autoencoder: Annotated[
        Path | None, typer.Option(help="Run of an autoencoder that encodes in place of the checkpoint's.")
    ] = None,
    pictures: Annotated[int, typer.Option(help="Pictures per shard.", min=1)] = 1024,
    threads: Threads = 0,
) -> None:
    """Encode a data set into shards, for training that does not fit into memory.

    Example:

        mobile-diffusion train shards --style 3d --style flat --out data/emoji-shards
    """
    from mobile_diffusion.recipes.shards import make_shards

    _set_threads(threads)
    opened = model or shipped_model()
    with _bar() as progress:
        index = make_shards(data, opened, autoencoder, tuple(style), tuple(group or ()), pictures, out, progress)
    say(f"{index.count} pictures in {len(index.shards)} shards in {out}")


@app.command()
def text(out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("runs/text")) -> None:
    """Download MiniLM and write it as text encoder and tokenizer.

    Example:

        mobile-diffusion train text --out runs/text
    """
    from mobile_diffusion.recipes.text import convert_minilm

    convert_minilm(None, out)
    say(f"text encoder and tokenizer in {out}")


@app.command()
def curve(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG to write.")] = Path("curve.png"),
) -> None:
    """Plot the loss curve of a run.

    Example:

        mobile-diffusion train curve runs/unet -o curve.png
    """
    from mobile_diffusion.training.curve import plot_curve

    plot_curve(run, out)
    say(f"{out} written")


def _report_trained(out: Path, run: Path) -> None:
    say(f"{out} written; state, curve and sample sheets in {run}")
