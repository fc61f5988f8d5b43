"""Writes the tables of docs/coreai.md from benchmarks/results/coreai_*.json; each marker there names its script.

    python -m benchmarks.documents.coreai

A table whose results are not there stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.documents.markers import decibels, fill_page, rendered, table
from benchmarks.measuring.command_line import run_script
from benchmarks.paths import ROOT

PAGE = ROOT / "docs" / "coreai.md"
Found = dict[str, Any]
CHECKS = {
    "encode_text": "text",
    "prediction": "prediction",
    "decode_image": "decoder",
    "free_running": "trajectory",
    "picture": "picture",
}
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


TABLES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "parity": ("coreai_parity", parity),
    "judges": ("coreai_judges", judges),
    "black": ("coreai_black_image", black),
    "sums": ("coreai_sums", sums),
}
"""Marker to the file of its results and its writer."""


def main() -> None:
    """Fill every table whose results are there."""
    fill_page(PAGE, rendered(TABLES))


if __name__ == "__main__":
    run_script(main, __doc__)
