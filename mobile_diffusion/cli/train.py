"""`mobile-diffusion train`: train the parts of a model.

Only the display is here; the work is `mobile_diffusion.training.runs`, imported when a command runs.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.logging import RichHandler

app = typer.Typer(help="Train a model.", no_args_is_help=True)

Settings = Annotated[Path, typer.Argument(help="TOML file of the run.")]
Data = Annotated[Path, typer.Option(help="Data set made by `mobile-diffusion data fetch`.")]
Pictures = Annotated[Path, typer.Option(help="Data set of `mobile-diffusion data fetch`, or shards of `train shards`.")]
Run = Annotated[Path, typer.Option(help="Folder of the run: state, loss curve, sample sheets. Resumed if it exists.")]
WEIGHTS = Path("data/weights")
Threads = Annotated[int, typer.Option(help="CPU threads; 0 leaves the choice to torch.", min=0)]


@app.callback()
def _group() -> None:
    """Train a model.  Started by torchrun, several processes share every batch; docs/scale.md says how."""
    level = logging.INFO if os.environ.get("RANK", "0") == "0" else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", handlers=[RichHandler(show_path=False)])
    if "WORLD_SIZE" in os.environ:  # torch is slow to import
        from mobile_diffusion.training import workers

        workers.join()


def _set_threads(threads: int) -> None:
    import torch

    if threads:
        torch.set_num_threads(threads)


@app.command()
def autoencoder(
    settings: Settings,
    run: Run = Path("runs/autoencoder"),
    data: Data = Path("data/emoji"),
    weights: Annotated[Path, typer.Option(help="Folder for LPIPS's weights, fetched if absent.")] = WEIGHTS,
    threads: Threads = 0,
) -> None:
    """Train the autoencoder: L1 + LPIPS + KL. A killed run goes on where it stopped. Example:

    mobile-diffusion train autoencoder assets/emoji/training/autoencoder.toml --run runs/autoencoder
    """
    from mobile_diffusion.training.runs import train_autoencoder
    from mobile_diffusion.training.settings import AutoencoderSettings, read_settings

    _set_threads(threads)
    quality = train_autoencoder(read_settings(settings, AutoencoderSettings), data, weights, run)
    typer.echo(f"held-out PSNR {quality:.2f} dB; weights in {run}")


@app.command()
def unet(
    settings: Settings,
    run: Run = Path("runs/unet"),
    data: Pictures = Path("data/emoji"),
    autoencoder: Annotated[Path, typer.Option(help="Run that trained the autoencoder.")] = Path("runs/autoencoder"),
    text: Annotated[Path, typer.Option(help="Folder of text encoder and tokenizer.")] = Path("assets/emoji"),
    out: Annotated[Path | None, typer.Option(help="Checkpoint to write at the end.")] = None,
    start: Annotated[Path | None, typer.Option(help="Run whose averaged weights this run begins with.")] = None,
    threads: Threads = 0,
) -> None:
    """Train the U-Net on precomputed latents. A killed run goes on where it stopped. Example:

    mobile-diffusion train unet assets/emoji/training/unet.toml --run runs/unet --out runs/emoji
    """
    from mobile_diffusion.training.runs import train_unet
    from mobile_diffusion.training.settings import UNetSettings, read_settings

    _set_threads(threads)
    train_unet(read_settings(settings, UNetSettings), data, autoencoder, text, run, out, start)
    typer.echo(f"trained; state, curve and sample sheets in {run}")


@app.command()
def distil(
    settings: Settings,
    teacher: Annotated[Path, typer.Option(help="Checkpoint of the teacher, of v.")] = Path("runs/emoji-teacher"),
    student: Annotated[
        Path | None, typer.Option(help="Checkpoint with the student's first weights; the teacher's by default.")
    ] = None,
    run: Run = Path("runs/student"),
    out: Annotated[Path, typer.Option(help="Checkpoint to write at the end.")] = Path("runs/student/checkpoint"),
    data: Pictures = Path("data/emoji"),
    threads: Threads = 0,
) -> None:
    """Distil a teacher into a student of half its steps, or of one evaluation a step. Goes on where it stopped.

    Example:

        mobile-diffusion train distil assets/emoji/training/student-8.toml --student runs/emoji-16 --out runs/emoji-8
    """
    from mobile_diffusion.distillation.runs import distil as work
    from mobile_diffusion.distillation.settings import DistillationSettings
    from mobile_diffusion.training.settings import read_settings

    _set_threads(threads)
    work(read_settings(settings, DistillationSettings), data, teacher, run, out, student)
    typer.echo(f"{out} written; state, curve and sample sheets in {run}")


@app.command()
def decoder(
    settings: Settings,
    model: Annotated[Path, typer.Option(help="Checkpoint whose decoder is slimmed.")] = Path("runs/emoji-8"),
    run: Run = Path("runs/decoder"),
    out: Annotated[Path, typer.Option(help="Checkpoint to write at the end.")] = Path("runs/decoder/checkpoint"),
    data: Data = Path("data/emoji"),
    threads: Threads = 0,
) -> None:
    """Slim the decoder: fewer channels, trained to draw the full one's pictures. Goes on where it stopped. Example:

    mobile-diffusion train decoder assets/emoji/training/decoder.toml --model runs/emoji-8 --out runs/emoji-phone
    """
    from mobile_diffusion.slimming.decoder_run import slim_decoder
    from mobile_diffusion.slimming.settings import DecoderSettings
    from mobile_diffusion.training.settings import read_settings

    _set_threads(threads)
    quality = slim_decoder(read_settings(settings, DecoderSettings), data, model, run, out)
    typer.echo(f"{out} written; {quality:.2f} dB PSNR to the full decoder's held-out pictures")


@app.command()
def robust(
    settings: Settings,
    model: Annotated[Path, typer.Option(help="Checkpoint to train on.")] = Path("runs/emoji"),
    run: Run = Path("runs/robust"),
    out: Annotated[Path, typer.Option(help="Checkpoint to write at the end.")] = Path("runs/robust/checkpoint"),
    data: Pictures = Path("data/emoji"),
    threads: Threads = 0,
) -> None:
    """Train a checkpoint's U-Net on with blocks left out at random; with `skip = 0.0`, as it is. Example:

    mobile-diffusion train robust assets/emoji/training/robust.toml --run runs/robust --out runs/emoji-robust
    """
    from mobile_diffusion.slimming.robust import RobustSettings
    from mobile_diffusion.slimming.robust_run import train_robust
    from mobile_diffusion.training.settings import read_settings

    _set_threads(threads)
    train_robust(read_settings(settings, RobustSettings), data, model, run, out)
    typer.echo(f"{out} written; state, curve and sample sheets in {run}")


@app.command()
def grow(
    model: Annotated[Path, typer.Argument(help="Checkpoint folder.")],
    preset: Annotated[str, typer.Option(help="Whose numbers of blocks the U-Net is to have.")],
    out: Annotated[Path, typer.Option(help="Checkpoint to write.")],
    average: Annotated[Path | None, typer.Option(help="Run whose averaged weights to take.")] = None,
    seed: Annotated[int, typer.Option(help="Of the new blocks' weights.")] = 0,
) -> None:
    """Add blocks to a U-Net, each the identity until it is trained: a teacher that is wide enough. Example:

    mobile-diffusion train grow runs/emoji --preset emoji-wide --out runs/emoji-wide
    """
    from mobile_diffusion.slimming.growing import grow_checkpoint

    before, after = grow_checkpoint(model, preset, out, average, seed)
    typer.echo(f"{out} written: {before / 1e6:.1f} M -> {after / 1e6:.1f} M parameters; it draws as before")


@app.command()
def evolve(
    settings: Settings,
    table: Annotated[Path, typer.Option(help="Latency table, of `mobile-diffusion export blocks`.")],
    target_ms: Annotated[float, typer.Option(help="Milliseconds that one evaluation may take.", min=0.001)],
    model: Annotated[Path, typer.Option(help="Checkpoint that was trained robustly.")] = Path("runs/emoji-wide"),
    run: Run = Path("runs/evolution"),
    out: Annotated[Path, typer.Option(help="Checkpoint to write.")] = Path("runs/evolution/checkpoint"),
    data: Data = Path("data/emoji"),
    batches: Annotated[int, typer.Option(help="Batches that every candidate is judged on.", min=1)] = 16,
    threads: Threads = 0,
) -> None:
    """Leave out the blocks that bring the least for their time, until a step is fast enough. Example:

    mobile-diffusion train evolve assets/emoji/training/wide.toml --table blocks.json --target-ms 14.8
    """
    from mobile_diffusion.slimming.evolving import PLOT, evolve_checkpoint
    from mobile_diffusion.slimming.latency import read_table
    from mobile_diffusion.slimming.robust import RobustSettings
    from mobile_diffusion.training.settings import read_settings

    _set_threads(threads)
    training = read_settings(settings, RobustSettings).training
    measured = read_table(table)
    decisions = evolve_checkpoint(training, measured, target_ms, batches, data, model, run, out)
    for decision in decisions:
        typer.echo(f"{decision.action}: distance {-decision.quality:.5f}, {decision.step_ms:.1f} ms")
    typer.echo(f"{out} written; the decisions are in {run / PLOT}")


@app.command()
def shards(
    out: Annotated[Path, typer.Option(help="Folder to write to; a killed command goes on where it stopped.")],
    style: Annotated[list[str], typer.Option(help="Style of pictures to take; give it once for each.")],
    group: Annotated[list[str] | None, typer.Option(help="Group of concepts to take; all by default.")] = None,
    data: Data = Path("data/emoji"),
    model: Annotated[Path, typer.Option(help="Checkpoint whose networks encode them.")] = Path("assets/emoji"),
    autoencoder: Annotated[
        Path | None, typer.Option(help="Run of an autoencoder that encodes in place of the checkpoint's.")
    ] = None,
    pictures: Annotated[int, typer.Option(help="Pictures of a shard.", min=1)] = 1024,
    threads: Threads = 0,
) -> None:
    """Encode a data set into shards for training that does not fit into memory. Example:

    mobile-diffusion train shards --style 3d --style flat --out data/emoji-shards
    """
    from mobile_diffusion.training.runs import make_shards

    _set_threads(threads)
    index = make_shards(data, model, autoencoder, tuple(style), tuple(group or ()), pictures, out)
    typer.echo(f"{index.count} pictures in {len(index.shards)} shards in {out}")


@app.command()
def text(out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("assets/emoji")) -> None:
    """Fetch MiniLM and write it as our text encoder and tokenizer. Example:

    mobile-diffusion train text --out assets/emoji
    """
    from mobile_diffusion.training.text_weights import convert_minilm

    convert_minilm(None, out)
    typer.echo(f"text encoder and tokenizer in {out}")


@app.command()
def curve(
    run: Annotated[Path, typer.Argument(help="Folder of the run.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="PNG to write.")] = Path("curve.png"),
) -> None:
    """Draw the loss curve of a run. Example:

    mobile-diffusion train curve runs/unet -o curve.png
    """
    from mobile_diffusion.training.curve import plot_curve

    plot_curve(run, out)
    typer.echo(f"{out} written")
