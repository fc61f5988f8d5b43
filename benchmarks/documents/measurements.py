"""Writes the tables of docs/measurements.md from what `make demo` and the training runs measured.

    make demo && .venv/bin/python -m benchmarks.documents.measurements --measured

Between the markers `<!-- tables: ... -->` and `<!-- /tables -->` stand parity and latency out of
benchmarks/results/demo.json, which `--measured` takes from build/*/parity.json and build/*/latency.json; between the
training markers, what assets/emoji/training/*.json(l) hold.
"""

from __future__ import annotations

import json
import statistics
import tomllib
from typing import Annotated

import typer

from benchmarks.documents.markers import fill_page, read, table
from benchmarks.measuring.command_line import run_script
from benchmarks.measuring.results import write_result
from benchmarks.paths import EMOJI, RESULTS, ROOT

PAGE = ROOT / "docs" / "measurements.md"
BUNDLES = (ROOT / "build" / "android", ROOT / "build" / "ios")
TRAINING = EMOJI / "training"
STAGES = ("encode_text", "denoise", "decode_image")
RUNS = {
    "U-Net": ("unet", "unet-2"),
    "random block dropout": ("robust", "robust"),
    "wide, random block dropout": ("wide", "wide"),
    "wide teacher": ("teacher", "teacher"),
    "slim": ("slim", "slim"),
    "16 steps": ("student-16", "student-16"),
    "8 steps, guidance distilled": ("student-8", "student-8"),
    "slim decoder": ("decoder", "decoder"),
}
"""Run -> its curve and its settings."""
QUALITY, DEMO = RESULTS / "quality.json", RESULTS / "demo.json"
UNITS = {"snr_db": "dB SNR", "psnr_db": "dB PSNR", "ssim": "SSIM"}


def take_measured() -> None:
    """Keep the figures of the two bundles of `make demo`, with the hash of their checkpoint."""
    manifests = [read(bundle / "manifest.json") for bundle in BUNDLES]
    reports = [read(bundle / "latency.json") for bundle in BUNDLES]
    runners = {runner["runner"]: runner for report in reports for runner in report["runners"]}
    found = {
        "model": manifests[0]["model"]["name"],
        "source_sha256": manifests[0]["model"]["source_sha256"],
        "conditions": reports[-1]["conditions"],
        "parity": [row for bundle in BUNDLES for row in read(bundle / "parity.json")["summary"]],
        "latency": list(runners.values()),
    }
    write_result(DEMO, found)


def parity() -> str:
    """Worst value of every check, one row per runtime and check."""
    rows = []
    for row in read(DEMO)["parity"]:
        values = [f"{row[key]:.1f}" if key != "limit" else f"{row[key]:g}" for key in ("worst", "median", "limit")]
        rows.append([row["runtime"], row["precision"], row["check"], *values, UNITS[row["metric"]], str(row["count"])])
    return table(["runtime", "precision", "check", "worst", "median", "gate", "unit", "compared"], rows)


def latency() -> str:
    """Median and interquartile range of every stage, one row per runner, and the conditions."""
    found, rows = read(DEMO), []
    for runner in found["latency"]:
        stages = {stage["stage"]: stage for stage in runner["stages"]}
        cells = [f"{stages[name]['median_ms']:.1f} ({stages[name]['spread_ms']:.1f})" for name in STAGES]
        rows.append([runner["runner"], runner["kind"], runner["version"], str(runner["threads"]), *cells])
    text = table(["runner", "kind", "version", "threads", *(f"{name}, ms" for name in STAGES)], rows)
    conditions = found["conditions"]
    place = f"{conditions['processor']}, {conditions['cores']} cores, {conditions['system']}"
    return f"{text}\n\nMedian and, in brackets, interquartile range; {place}. A phone was not measured."


def training() -> str:
    """What each training run took and reached."""
    autoencoder = read(TRAINING / "autoencoder.json")
    lines = [training_row(name, curve, settings) for name, (curve, settings) in RUNS.items()]
    head = ["run", "steps", "samples", "minutes", "loss: first and last tenth"]
    return (
        f"The autoencoder reconstructs held-out pictures at {autoencoder['held_out_psnr_db']:.1f} dB PSNR. "
        f"Times are those of two CPU cores.\n\n{table(head, lines)}"
    )


def training_row(name: str, curve: str, settings: str) -> list[str]:
    """A run by its curve; its loss in the mean over the first and the last tenth of its rows."""
    rows = [json.loads(line) for line in (TRAINING / f"{curve}-curve.jsonl").read_text().splitlines()]
    values = tomllib.loads((TRAINING / f"{settings}.toml").read_text())
    batch = (values.get("training") or values)["loop"]["batch"]
    seconds = sum(
        (row["step"] - before) * batch / row["samples_per_second"]
        for before, row in zip([0, *(row["step"] for row in rows)], rows, strict=False)
    )
    tenth, last = max(1, len(rows) // 10), rows[-1]["step"]
    ends = [statistics.fmean(row["loss"] for row in part) for part in (rows[:tenth], rows[-tenth:])]
    return [name, f"{last:,}", f"{last * batch:,}", f"{seconds / 60:.0f}", f"{ends[0]:.3g}, {ends[1]:.3g}"]


def quality() -> str:
    """What the emoji model draws, by networks that never saw it."""
    found, rows = read(QUALITY), []
    for each in found["sets"]:
        score, real = each["quality"]["retrieval"], each["real"]
        found_first = [_interval(score["recall_5"], 100), f"{100 * real['recall_5']['value']:.0f}"]
        rows.append([f"{each['name']}: {each['meaning']}", _interval(each["quality"]["kid"], 1000), *found_first])
    decoder, conditions = found["decoder"], found["conditions"]
    head = ["prompts", "KID x 1000", "found among the first five of 1,644 captions, %", "real pictures, %"]
    note = (
        f"{conditions['settings']['count']} prompts of each kind, {conditions['steps']} steps, guidance "
        f"{conditions['guidance']:g}, drawn by {conditions['drawn_by']}; 95 % bootstrap intervals in brackets. "
        f"The autoencoder: {decoder['psnr_db']['value']:.1f} dB PSNR and {decoder['lpips']['value']:.3f} LPIPS over "
        f"{decoder['pictures']} held-out pictures."
    )
    return f"{table(head, rows)}\n\n{note}"


def _interval(found: dict[str, float], scale: float) -> str:
    return f"{scale * found['value']:.0f} ({scale * found['low']:.0f} to {scale * found['high']:.0f})"


def main(
    measured: Annotated[bool, typer.Option("--measured", help="First take the figures of build/.")] = False,
) -> None:
    """Write docs/measurements.md anew."""
    if measured:
        take_measured()
    fill_page(PAGE, {"tables": f"{parity()}\n\n{latency()}", "training": training(), "quality": quality()})


if __name__ == "__main__":
    run_script(main, __doc__)
