"""Writes the tables of docs/coreai.md from benchmarks/results/coreai_*.json; each marker there names its script.

    python -m benchmarks.documents.coreai

A table whose results are not there stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.documents.markers import decibels, fill_page, read, rendered, table
from benchmarks.measuring.command_line import run_script
from benchmarks.paths import RESULTS, ROOT

PAGE = ROOT / "docs" / "coreai.md"
Found = dict[str, Any]
CHECKS = {
    "encode_text": "text",
    "prediction": "prediction",
    "decode_image": "decoder",
    "free_running": "trajectory",
    "picture": "picture",
}
APPLE = {"apple-int4": "coreai-opt, int4 in blocks of 32"}
MEGA = 1_000_000
RUNTIMES = {"coreml": "Core ML, interpreted", "coreai": "Core AI, Apple's runtime"}


def parity(found: Found) -> str:
    """Model x runtime x precision."""
    rows = [
        [row["model"], RUNTIMES[row["runtime"]], row["precision"]]
        + [decibels(row["worst_db"][check]) if check in row["worst_db"] else "" for check in CHECKS]
        for row in found["rows"]
    ]
    head = ["model", "runtime", "precision", *(f"{name}, dB" for name in CHECKS.values())]
    note = (
        "The worst over all prompts and steps, compared with PyTorch in float32. The emoji model over four whole "
        "trajectories; the other models have random weights and every width divided by "
        f"{found['conditions']['narrow']}, and were compared for one step and one decoding. No iPhone was used."
    )
    return f"{table(head, rows)}\n\n{note}"


def black(found: Found) -> str:
    """The amplified decoder, converted in several ways."""
    rows = [
        [name, decibels(way["psnr_db"]), f"{way['contrast']:.3f}"] for name, way in found.items() if "psnr_db" in way
    ]
    shown = table(["conversion", "picture, PSNR to PyTorch, dB", "contrast"], rows)
    factor, contrast = found["conditions"]["factor"], found["reference"]["contrast"]
    return (
        f"{shown}\n\nDecoder of the emoji model, amplified {factor:g} times; PyTorch's picture has a contrast of "
        f"{contrast:.3f}. Run by Apple's runtime on Linux."
    )


def sums(found: Found) -> str:
    """Products and convolutions of half precision in Apple's runtime."""
    rows = [
        [
            name,
            f"{found[key]['ns_per_term']:.2g}",
            decibels(found[key]["snr_db"]),
            f"{found['ones'][key]:g}",
        ]
        for name, key in (("matrix product", "product"), ("convolution", "convolution"))
    ]
    shown = table(["in float16, as stored", "ns per term", "SNR, dB", "sum of 4096 ones"], rows)
    seconds = found["denoise_cpu_s"]
    step = f"{seconds['as-stored']:g} s as stored and {seconds['float32']:g} s with sums in float32"
    return f"{shown}\n\nA layer of 64 x 512 numbers; CPU time. The emoji model's `denoise` takes {step}."


def judges(found: Found) -> str:
    """What the interpreter and Apple's runtime compute of one network, and what their differences come from."""
    rows = []
    for name, row in found["stages"].items():
        ml, ai = row["coreml"], row["coreai"]
        figures = (
            ml["run"],
            ml["expected"],
            *(ml["expected_without"][kind] for kind in ("norms", "attention")),
            ai["run"],
            ai["expected"],
            *(ai["run_without"][kind] for kind in ("norms", "attention", "layers")),
        )
        rows.append([name, *map(decibels, figures)])
    head = [
        "stage",
        "Core ML, run",
        "expected",
        "norms whole",
        "attention whole",
        "Core AI, run",
        "expected",
        "norms float32",
        "attention float32",
        "layers float32",
    ]
    note = (
        "The emoji model in float16 on one input, dB to PyTorch in float32. Expected: PyTorch, with the result of "
        "every operation of the exported graph rounded to float16. Whole: the same, without rounding between the "
        "parts of a norm or of attention. float32: run again, with these modules in float32."
    )
    return f"{table(head, rows)}\n\n{note}"


def compression(found: Found) -> str:
    """Recipe x size, error, time and memory, with Core ML's figures for the same recipe where they were measured."""
    packages = read(RESULTS / "coreml_variants.json")["models"]["emoji"]
    interpreted = {row["compression"]: row["worst_db"] for row in packages if row["layout"] == "gpu"}
    rows = [
        [APPLE.get(row["compression"], row["compression"]), f"{row['size_bytes'] / MEGA:.1f}"]
        + [decibels(row["worst_db"][check]) for check in CHECKS]
        + [beside(interpreted.get(row["compression"]))]
        + [f"{row['compress_cpu_s']:g}", f"{row['step_cpu_s']:g}", f"{row['peak_bytes'] / MEGA:.0f}"]
        for row in sorted(found["rows"], key=lambda row: -row["size_bytes"])
    ]
    names = (f"{name}, dB" for name in CHECKS.values())
    head = [
        "weights",
        "MB",
        *names,
        "Core ML: prediction, picture, dB",
        "compressing, CPU s",
        "step, CPU s",
        "memory, MB",
    ]
    note = (
        "The emoji model: the worst over four whole trajectories, compared with PyTorch and the original weights. The "
        "programs were run by Apple's runtime on one thread of this computer, not on a phone; the memory is that of "
        "its process with all three programs. Core ML's figures are of the same recipe, interpreted."
    )
    return f"{table(head, rows)}\n\n{note}"


def beside(worst: Mapping[str, float] | None) -> str:
    """Core ML's prediction and picture; empty where the recipe was not measured."""
    return "" if worst is None else f"{decibels(worst['prediction'])}, {decibels(worst['picture'])}"


def block(found: Found) -> str:
    """Recipe x size and error of one block's weights, by our clustering and by coreai-opt."""
    rows = [
        [row["recipe"], f"{row['bits']:.2f}", f"{row['snr_db']:.1f}", f"{row['cpu_s']:.1f}"]
        + ([f"{row['apple']['snr_db']:.1f}", f"{row['apple']['cpu_s']:.1f}"] if row["apple"] else ["", ""])
        for row in found["rows"]
    ]
    head = ["weights", "bits", "SNR, dB", "CPU s", "coreai-opt: SNR, dB", "CPU s"]
    note = (
        f"The {found['weights']} weights of `{found['block']}` in the shapes of Stable Diffusion 1.5, "
        f"{found['numbers'] / MEGA:.1f} M numbers, drawn from a normal distribution. Empty: coreai-opt has no such "
        "recipe."
    )
    return f"{table(head, rows)}\n\n{note}"


TABLES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "parity": ("coreai_parity", parity),
    "judges": ("coreai_judges", judges),
    "black": ("coreai_black_image", black),
    "sums": ("coreai_sums", sums),
    "compression": ("coreai_compression", compression),
    "block": ("coreai_block", block),
}
"""Marker to the file of its results and its writer."""


def main() -> None:
    """Fill every table whose results are there."""
    fill_page(PAGE, rendered(TABLES))


if __name__ == "__main__":
    run_script(main, __doc__)
