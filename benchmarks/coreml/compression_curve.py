"""Quality against size: the emoji model and Stable Diffusion 1.5's U-Net, with the U-Net's weights in fewer bits.

    python -m benchmarks.coreml.compression_curve emoji --errors /tmp/errors.json  # drawings, KID, retrieval; an hour
    python -m benchmarks.coreml.compression_curve sd15 --package /tmp/denoise.mlpackage
    python -m benchmarks.coreml.compression_curve plot  # docs/pictures/compression_curve.png

Emoji: 64 prompts that the model was trained on are drawn in 8 steps with the U-Net's weights as the compressed package
decodes them, in PyTorch; latents and pictures are compared with those of the uncompressed float32 model (SNR, PSNR),
and pictures with real ones (KID) and their captions (retrieval).  Text encoder and decoder are as they are. Mixed
recipes are searched with the sensitivities of all layers (`coreml plan`), which `--errors` keeps for another run.
Stable Diffusion: random weights, one step, one evaluation, seeded inputs: what the network predicts (SNR). Sizes are
of the U-Net's compressible weights in bits each, tables and scales included.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, cast

import numpy as np
import torch
import typer
from torch import Tensor

from benchmarks.measuring.command_line import Threads, one_of, run_script
from benchmarks.measuring.random_model import RandomModel
from benchmarks.measuring.results import conditions, read_result, write_result
from benchmarks.paths import RESULTS, ROOT
from export.compression.plan import bits_per_weight, uniform_recipes
from export.compression.recipes import NONE, RECIPES, Recipe
from export.coreml.compress.layers import layers_of
from export.coreml.lower import lower
from export.coreml.package_archive import CoreMLPackage
from export.denoise import Denoise
from export.parity.record import record
from export.parity.trajectories import CASES
from export.runners.torch import TorchRunner
from export.stages import build_stage
from export.studies.bits.planning import Budget, planned
from export.studies.bits.sensitivity import Bench, States, predictions
from mobile_diffusion.checkpoint import open_source
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.data import load_dataset
from mobile_diffusion.decibels import json_number, psnr_each, share_db, snr_db
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.noise import gaussian
from mobile_diffusion.presets import preset
from mobile_diffusion.quality import kid_interval
from mobile_diffusion.quality.evaluation import load_pictures
from mobile_diffusion.quality.prompts import PromptSet, prompt_sets, read_training
from mobile_diffusion.quality.report import Networks
from mobile_diffusion.sampler import advance
from mobile_diffusion.schedule import step_table

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "compression_curve.json"
PICTURE = ROOT / "docs" / "pictures" / "compression_curve.png"
MODEL, DATA = Path("assets/emoji"), Path("data/emoji")
PICTURES = 64
UNIFORM = ("none", "int8", "palettize-8", "palettize-6", "palettize-4", "palettize-3", "palettize-2")
SEARCHED = ("palettize-2", "palettize-4", "palettize-6", "palettize-8", "none")
BUDGETS = (6.0, 5.0, 4.5, 4.0, 3.5, 3.0)
"""Bits of the mixed recipes."""
LARGE = ("int8", "palettize-6", "palettize-4", "palettize-3", "palettize-2")
AT_ONCE = 16
"""Pictures that are drawn together."""
Row = dict[str, Any]


@torch.inference_mode()
def drawn(runner: TorchRunner, config: ModelConfig, contexts: Tensor, null: Tensor) -> tuple[Tensor, Tensor]:
    """Latents (n, C, h, w) and pictures (n, 3, H, W) of prompts with contexts (n, L, D); picture i has seed i."""
    table, module = step_table(config.schedule), cast(Denoise, runner.stages["denoise"].module)
    latents, pictures = [], []
    for start in range(0, len(contexts), AT_ONCE):
        part = contexts[start : start + AT_ONCE]
        shape = config.latent_shape
        state = torch.from_numpy(np.concatenate([gaussian(start + number, shape) for number in range(len(part))]))
        for step in table.rows():
            steps = torch.full((len(part),), step, dtype=torch.int32)
            states = States(state, steps, part, null.expand_as(part), config.schedule.guidance)
            (state,) = advance(table, step, [state], predictions(module, states))
        latents.append(state)
        decode = runner.stages["decode_image"].module
        pictures += [decode(each[None]) for each in state]
    return torch.cat(latents), torch.cat(pictures)


def encoded(runner: TorchRunner, model: Any, prompts: tuple[str, ...]) -> Tensor:
    """Contexts (n, L, D)."""
    tokens = [model.tokenizer.encode(prompt) for prompt in prompts]
    rows = [runner.run("encode_text", tokens=each.ids[None], mask=each.mask[None])["context"] for each in tokens]
    return torch.from_numpy(np.concatenate(rows))


def emoji(errors_file: Path | None, networks: Networks) -> dict[str, Any]:
    """All rows of the emoji model."""
    model = open_source(MODEL)
    runner, config = TorchRunner.from_model(model, torch.get_num_threads()), model.config
    (prompts, *_) = prompt_sets(load_dataset(DATA), read_training(MODEL / "training" / "unet-settings.json"), PICTURES)
    with TemporaryDirectory() as folder:
        package = CoreMLPackage.open(Path(folder) / lower(runner.stages["denoise"], Path(folder)))
        settings = DrawSettings.of(config)
        states = States.of([record(runner, model.tokenizer, settings, case) for case in CASES[:3]], settings)
        bench = Bench(cast(Denoise, runner.stages["denoise"].module), package, layers_of(package), states)
        recipes = chosen_recipes(bench, errors_file)
        contexts, null = encoded(runner, model, prompts.captions), encoded(runner, model, ("",))
        reference = drawn(runner, config, contexts, null)
        judge = Judge(prompts, networks, reference)
        rows = []
        for name, each in recipes.items():
            with bench.compressed(each):
                row = judge.row(*drawn(runner, config, contexts, null))
                prediction = rounded(share_db(bench.error()))
            bits = round(bits_per_weight(list(bench.layers.values()), each), 3)
            rows.append({"recipe": name, "bits": bits, "prediction_snr_db": prediction, **row})
            LOGGER.info("%s", json.dumps(rows[-1]))
    conditions = {
        "model": config.name,
        "pictures": PICTURES,
        "references": len(prompts.references),
        "steps": config.schedule.steps,
        "guidance": config.schedule.guidance,
        "weights": sum(layer.count for layer in bench.layers.values()),
        "activations": "float32, PyTorch",
        "sensitivity_states": len(states.steps),
    }
    return {"conditions": conditions, "real_retrieval_at_1": judge.real, "rows": rows}


def chosen_recipes(bench: Bench, errors_file: Path | None) -> dict[str, dict[str, Recipe]]:
    """Uniform and mixed recipes by name, of every layer."""
    layers = list(bench.layers.values())
    found = {name: uniform_recipes(layers, RECIPES[name]) for name in UNIFORM}
    if errors_file is not None and errors_file.exists():
        errors = json.loads(errors_file.read_text())
    else:
        candidates = [RECIPES[name] for name in SEARCHED]
        errors = bench.errors(candidates, lambda what, part: LOGGER.info("%s %.3f", what, part))
        if errors_file is not None:
            errors_file.write_text(json.dumps(errors))
    for bits in BUDGETS:
        plan = planned(bench, layers, errors, Budget(bits=bits), {})
        found[f"mixed {bits:g}"] = {layer.name: RECIPES[layer.recipe] for layer in plan.layers}
    return found


class Judge:
    """What pictures are compared with."""

    def __init__(self, prompts: PromptSet, networks: Networks, reference: tuple[Tensor, Tensor]) -> None:
        self.prompts, self.networks, self.reference = prompts, networks, reference
        references = load_pictures(prompts.references)
        self.features = networks.inception(references)
        self.real = networks.retrieval.score(references[:PICTURES], prompts.captions).recall_1.value

    def row(self, latents: Tensor, pictures: Tensor) -> Row:
        """The figures of drawn pictures."""
        wanted, wanted_pictures = self.reference
        psnr = [ratio for ratio in psnr_each(pictures, wanted_pictures).tolist() if ratio != math.inf]
        distance = kid_interval(self.features, self.networks.inception(pictures))
        score = self.networks.retrieval.score(pictures, self.prompts.captions)
        return {
            "latents_snr_db": rounded(snr_db(wanted.numpy(), latents.numpy())),
            "picture_psnr_db": rounded(float(np.mean(psnr)) if psnr else math.inf),
            "kid": interval(distance),
            "recall_at_1": interval(score.recall_1),
            "recall_at_5": interval(score.recall_5),
            "cosine": interval(score.cosine),
        }


def interval(found: Any) -> dict[str, float]:
    """Value and 95 % interval."""
    return {name: round(float(getattr(found, name)), 5) for name in ("value", "low", "high")}


def rounded(snr: float) -> float | None:
    """For JSON: MAX_DB where nothing differs, None for NaN."""
    value = json_number(snr)
    return None if value is None else round(value, 3)


def sd15(package: Path) -> dict[str, Any]:
    """All rows of Stable Diffusion's U-Net."""
    config = preset("sd15")
    unguided = replace(config, schedule=replace(config.schedule, guidance_kind="distilled"))
    module = cast(Denoise, build_stage(RandomModel(unguided, seed=0), "denoise").module)
    generator = torch.Generator().manual_seed(0)
    shapes = (config.latent_shape, config.context_shape)
    latents, context = (torch.randn(shape, generator=generator) for shape in shapes)
    states = States(latents, torch.tensor([2], dtype=torch.int32), context, None, 1.0)
    opened = CoreMLPackage.open(package)
    bench = Bench(module, opened, layers_of(opened), states)
    layers, rows = list(bench.layers.values()), []
    for name in LARGE:
        recipes = uniform_recipes(layers, RECIPES[name])
        bits = round(bits_per_weight(layers, recipes), 3)
        for layer, parameter in bench.parameters.items():
            parameter.copy_(torch.from_numpy(bench.decoded(layer, recipes[layer]).reshape(-1)))
        rows.append({"recipe": name, "bits": bits, "prediction_snr_db": rounded(share_db(bench.error()))})
        LOGGER.info("%s", json.dumps(rows[-1]))
    weights = sum(layer.count for layer in layers)
    return {"conditions": {"weights": weights, "states": 1, "guided": False, "step": 2}, "rows": rows}


def keep(name: str, found: dict[str, Any], threads: int) -> None:
    """Replace one model's earlier results."""
    earlier = read_result(RESULT, {})
    write_result(RESULT, {**earlier, name: {**found, "conditions": conditions(threads, **found["conditions"])}})


PANELS = (
    ("latents_snr_db", "final latents, SNR [dB]"),
    ("picture_psnr_db", "pictures, PSNR [dB]"),
    ("kid", "KID to real pictures (x 1000)"),
    ("recall_at_5", "retrieval, R@5"),
)


def plot() -> None:
    """Draw what is in the results."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    results = json.loads(RESULT.read_text())
    figure, axes = pyplot.subplots(2, 2, figsize=(10, 7.5), layout="constrained")
    for axis, (key, title) in zip(axes.flat, PANELS, strict=True):
        panel(axis, results["emoji"]["rows"], key, title)
    if "sd15" in results:
        rows = results["sd15"]["rows"]
        axes[0, 0].plot(*points(rows, "prediction_snr_db"), "v", color="0.45", label="SD 1.5, random weights, one step")
    axes[0, 0].legend(frameon=False)
    conditions = results["emoji"]["conditions"]
    figure.suptitle(
        f"U-Net of {conditions['model']}, {conditions['weights'] / 1e6:.0f} M weights: "
        f"{conditions['pictures']} pictures of {conditions['steps']} steps",
        fontsize=11,
    )
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110)


def points(rows: list[Row], key: str) -> tuple[list[float], list[float]]:
    """Bits and a figure of the rows that have it."""
    chosen = sorted((row["bits"], row[key]) for row in rows if row.get(key) is not None)
    return [bits for bits, _ in chosen], [value for _, value in chosen]


KINDS = (
    ("one palette width", "o", "tab:blue", lambda row: row["recipe"].startswith("palettize")),
    ("mixed widths, searched", "s-", "tab:orange", lambda row: row["recipe"].startswith("mixed")),
    ("int8", "D", "tab:green", lambda row: row["recipe"] == "int8"),
)


def panel(axis: Any, rows: list[Row], key: str, title: str) -> None:
    """One figure against bits."""
    scale = 1000 if key == "kid" else 1
    for label, style, colour, belongs in KINDS:
        chosen = sorted((row for row in rows if belongs(row)), key=lambda row: row["bits"])
        if key in ("latents_snr_db", "picture_psnr_db"):
            axis.plot(*points(chosen, key), style, color=colour, label=label)
            continue
        bits, values = [row["bits"] for row in chosen], [row[key]["value"] * scale for row in chosen]
        bars = [[abs(row[key][end] - row[key]["value"]) * scale for row in chosen] for end in ("low", "high")]
        axis.errorbar(bits, values, bars, fmt=style, color=colour, capsize=2, lw=1, label=label)
    (plain,) = (row for row in rows if row["recipe"] == NONE)
    if isinstance(plain[key], dict):
        axis.axhline(plain[key]["value"] * scale, color="0.5", ls=":", lw=1)
        place = (7, plain[key]["value"] * scale)
        axis.annotate("uncompressed", place, va="bottom", ha="center", fontsize=8, color="0.4")
    axis.set(xlabel="bits per weight", ylabel=title, xlim=(1.7, 8.5))
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(alpha=0.25)


ACTIONS = ("emoji", "sd15", "plot")


def main(
    what: Annotated[str, typer.Argument(help="emoji, sd15 or plot.", callback=one_of(ACTIONS, "name"))],
    errors: Annotated[Path | None, typer.Option(help="Sensitivities: read if the file is there, else written.")] = None,
    package: Annotated[Path | None, typer.Option(help="Package of the U-Net with random weights.")] = None,
    threads: Threads = 2,
) -> None:
    """Measure one of the models, or draw the picture."""
    torch.set_num_threads(threads)
    if what == "emoji":
        keep("emoji", emoji(errors, Networks.open()), threads)
    elif what == "sd15":
        keep("sd15", sd15(package), threads)
    else:
        plot()


if __name__ == "__main__":
    run_script(main, __doc__)
