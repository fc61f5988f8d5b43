"""What helps the U-Net?  Each change alone, over the same 30,000 samples, and the loss on the same pictures after it.

    .venv/bin/python -m benchmarks.training.ablations --data data/emoji --autoencoder runs/autoencoder

The base is assets/emoji/training/unet-2.toml.  All are compared by the plain error of v with the averaged weights: one
noise per picture, the time steps of an 8-step sampler, the base's training pictures and its held-out ones.  `noisy` is
the mean over the noisier half, where words decide the picture; `typed` has captions such as "a red apple".  It also
runs on a GPU, in the folder of code of benchmarks/training/gpu.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from benchmarks.measuring.command_line import Data, Names, chosen, run_script
from benchmarks.paths import EMOJI, RESULTS
from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.data.typed_captions import with_article
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.recipes.unet import UNetSettings, train_unet
from mobile_diffusion.schedule import add_noise, alphas_sigmas, timesteps, velocity
from mobile_diffusion.staging import write_bytes
from mobile_diffusion.training.checkpoints import open_placed
from mobile_diffusion.training.images import choose_groups, choose_samples, stack_images
from mobile_diffusion.training.latents import encode_captions, encode_images
from mobile_diffusion.training.settings import read_settings

STRIDE, STEPS = 8, 8
Change = Callable[[UNetSettings], UNetSettings]


def _loop(**changes: object) -> Change:
    return lambda base: dataclasses.replace(base, loop=dataclasses.replace(base.loop, **changes))  # type: ignore[arg-type]


def _set(**changes: object) -> Change:
    return lambda base: dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def _pooled(base: UNetSettings) -> UNetSettings:
    assert base.unet is not None
    return dataclasses.replace(base, unet=dataclasses.replace(base.unet, pooled_context=True))


CHANGES: dict[str, Change] = {
    "base": lambda base: base,
    "min-snr": _set(min_snr=5.0),
    "ema": _loop(ema_decay=0.9998),
    "batch": _loop(batch=96, learning_rate=1.6e-3),
    "pooled": _pooled,
    "typed": _set(typed_captions=True),
    "all-groups": _set(groups=()),
    "even-steps": _set(timestep_power=1.0),
}


def changed(base: UNetSettings, name: str, samples: int) -> UNetSettings:
    """The settings of one row: `samples` samples, saved and drawn at the end only."""
    settings = CHANGES[name](base)
    steps = max(1, samples // settings.loop.batch)
    warmup = min(settings.loop.warmup, steps // 10)
    loop = dataclasses.replace(settings.loop, steps=steps, warmup=warmup, save_every=steps, sheet_every=steps)
    return dataclasses.replace(settings, loop=loop)


@torch.no_grad()
def errors(model: Model, base: UNetSettings, data: Path, split: str) -> dict[str, float]:
    """Mean squared error of v on every eighth picture of a split: of all, of noisy steps, of typed captions."""
    assert isinstance(model.autoencoder, Autoencoder)  # open_placed
    samples = choose_groups(choose_samples(data, base.styles, split), base.groups)[::STRIDE]
    latents = encode_images(model.autoencoder, stack_images(samples)) * model.config.autoencoder.scaling_factor
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    stored = [f"{sample.label}, {sample.style}" for sample in samples]
    typed = [with_article(sample.label) for sample in samples]
    schedule = dataclasses.replace(model.config.schedule, steps=STEPS)
    tables = alphas_sigmas(schedule)
    found: dict[str, list[float]] = {"stored": [], "typed": []}
    for name, texts in (("stored", stored), ("typed", typed)):
        contexts = encode_captions(model.tokenizer, model.text_encoder, texts).float()
        for step in timesteps(schedule):  # the noisiest first
            alpha, sigma = (float(table[step]) for table in tables)
            target = velocity(latents, noise, alpha, sigma)
            predicted = _predict(model, add_noise(latents, noise, alpha, sigma), step, contexts)
            found[name].append(float((predicted - target).square().mean()))
    noisy = found["stored"][: STEPS // 2]
    means = {"all": found["stored"], "noisy": noisy, "typed": found["typed"]}
    return {name: round(sum(values) / len(values), 5) for name, values in means.items()}


def _predict(model: Model, noisy: Tensor, step: int, contexts: Tensor) -> Tensor:
    """The prediction (N, C, h, w) on the CPU, in parts."""
    device = next(model.unet.parameters()).device
    parts = [
        model.unet(part.to(device), torch.full((len(part),), step, device=device), words.to(device)).float().cpu()
        for part, words in zip(noisy.split(64), contexts.split(64), strict=True)
    ]
    return torch.cat(parts)


def main(
    autoencoder: Annotated[Path, typer.Option(help="Finished run of an autoencoder.")],
    names: Names = None,
    data: Data = Path("data/emoji"),
    text: Annotated[Path, typer.Option(help="Folder of text encoder and tokenizer.")] = EMOJI,
    settings: Annotated[Path, typer.Option(help="Settings of the base.")] = EMOJI / "training" / "unet-2.toml",
    samples: Annotated[int, typer.Option(help="Samples of each training.", min=1)] = 30_000,
    runs: Annotated[Path, typer.Option(help="Folder of the runs, which resume.")] = Path("runs/ablations"),
    out: Annotated[Path, typer.Option(help="File of results; rows of another start stay.")] = RESULTS
    / "ablations.json",
) -> None:
    """Train each row, measure it, and write the results after each."""
    base = read_settings(settings, UNetSettings)
    machine = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "CPU"
    rows = json.loads(out.read_text())["rows"] if out.exists() else []
    if rows and rows[0]["samples"] != samples:
        raise ConfigError(f"{out}: expected rows of {samples} samples, got {rows[0]['samples']}; choose another --out")
    for name in chosen(names, CHANGES, "change"):
        run, model = runs / name, runs / f"{name}-model"
        train_unet(changed(base, name, samples), data, autoencoder, text, run, model)
        opened = open_placed(model)
        opened.unet.eval()
        row = {"change": name, "samples": samples}
        row |= {split: errors(opened, base, data, split) for split in ("train", "held-out")}
        rows = [other for other in rows if other["change"] != name] + [row]
        content = {"machine": machine, "torch": torch.__version__, "rows": rows}
        write_bytes(f"{json.dumps(content, indent=1)}\n".encode(), out)
        sys.stdout.write(f"{json.dumps(row)}\n")


if __name__ == "__main__":
    run_script(main, __doc__)
