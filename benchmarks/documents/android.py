"""Writes the tables of docs/android.md from benchmarks/results/*.json; each marker there names its script.

    python -m benchmarks.documents.android

A table whose results are not there stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.documents.markers import decibels, fill_page, measured_model, rendered, table, trained
from benchmarks.measuring.command_line import run_script
from benchmarks.paths import ROOT

PAGE = ROOT / "docs" / "android.md"
Found = dict[str, Any]
MEGA = 1e6
NOT_A_PHONE = "measured on a computer, not on a phone"
WORST = (
    "encode_text snr_db",
    "prediction snr_db",
    "decode_image snr_db",
    "free_running snr_db",
    "picture psnr_db",
)


def speed(found: Found) -> str:
    """Six ways to run a stage."""
    rows = [
        [
            row["model"],
            row["stage"],
            row["title"],
            f"{row['median_ms']:.1f}",
            f"{row['relative']:.2f}",
            f"{100 * row['of_peak']:.0f} %",
            f"{row['load_s'] * 1000:.0f}",
            f"{row['first_ms']:.0f}",
            f"{row['peak_mb']:.0f}",
            f"{row['file_mb']:.0f}" if row["file_mb"] else "",
            decibels(row["snr_db"], digits=0, equal="reference"),
        ]
        for row in sorted(found["rows"], key=_place)
        if row["model"]
    ]
    peaks = ", ".join(f"{row['gflops']:.0f} by {row['title']}" for row in found["rows"] if not row["model"])
    conditions = found["rows"][-1]["conditions"]
    models = [row["model"] for row in found["rows"]]
    rounds = " or ".join(sorted({str(row["conditions"]["rounds"]) for row in found["rows"]}))
    note = (
        f"float32 on {conditions['processor']}, {conditions['cores']} cores, {conditions['threads']} threads, "
        f"{conditions['system']}; {NOT_A_PHONE}; {rounds} interleaved rounds. {trained(models)}; `medium` (17 M "
        "parameters, one evaluation per step) and `snapfusion` (a preset) have random weights. **time / ours**: the "
        "median over the rounds. **of peak**: operations per second, two per multiply-accumulate of the stage in "
        "PyTorch, divided by those of a 2048 x 2048 matrix product "
        f"(GFLOPS: {peaks}; the larger one counts). **memory**: the peak above what the process used before loading."
    )
    head = ["model", "stage", "runtime", "ms", "time / ours", "of peak", "load, ms", "first call, ms", "memory, MB"]
    return f"{table([*head, 'file, MB', 'SNR, dB'], rows)}\n\n{note}"


def _place(row: Found) -> tuple[bool, str, bool]:
    """The emoji models first, the U-Net before the decoder; ways keep their order."""
    return not row["model"].startswith("emoji"), row["model"], row["stage"] != "denoise"


def delegation(found: Found) -> str:
    """What each backend takes of each architecture, a row each."""
    cells = {(row["model"], row["stage"], row["runtime"], row["precision"]): _taken(row) for row in found["rows"]}
    models = list(dict.fromkeys(row["model"] for row in found["rows"]))
    stages = list(dict.fromkeys(row["stage"] for row in found["rows"]))
    rows = []
    for model in models:
        ours = [cells[model, stage, "xnnpack", "fp32"] for stage in stages]
        naive = [cells.get((model, stage, "xnnpack, naive", "fp32")) for stage in stages]
        both = [each if other is None else f"{each} ({other})" for each, other in zip(ours, naive, strict=True)]
        gpu = {cells[model, stage, "vulkan", precision] for stage in stages for precision in ("fp32", "fp16")}
        rows.append([model, *both, ", ".join(sorted(gpu))])
    note = (
        "Each cell: delegates + operations outside of them, for XNNPACK with our rewrites; in brackets the naive "
        "lowering, where it was tried. Last column: Vulkan, for every stage in fp32 and fp16. "
        f"{trained(models)}; the other models have random weights and every width divided by {found['narrow']}, which "
        "changes no operation. [android_delegation.json](../benchmarks/results/android_delegation.json) names every "
        "operation outside."
    )
    return f"{table(['model', *stages, 'Vulkan, per stage'], rows)}\n\n{note}"


def _taken(row: Found) -> str:
    return f"{row['delegates']} + {sum(row['undelegated'].values())}"


def precisions(found: Found) -> str:
    """Sizes, times and distances of every precision of an emoji model."""
    reference = found["precisions"]["xnnpack-fp32"]
    rows = []
    for name, row in found["precisions"].items():
        sizes = [sum(row["bytes"].values()) / MEGA, row["bytes"]["denoise"] / MEGA]
        times = [row["latency"][stage] for stage in ("denoise", "decode_image", "encode_text")]
        gain = reference["latency"]["denoise"]["median_ms"] / times[0]["median_ms"]
        rows.append(
            [name.replace("-", " ", 1), *(f"{size:.1f}" for size in sizes)]
            + [f"{each['median_ms']:.1f}" for each in times]
            + [f"{gain:.2f}"]
            + [f"{row['worst'][check]:.1f}" for check in WORST]
        )
    conditions = found["conditions"]
    note = (
        f"{measured_model(conditions['model'])}; "
        f"{conditions['processor']}, {conditions['threads']} threads, {conditions['runs']} "
        f"interleaved runs; {NOT_A_PHONE}. **text** to **picture**: the worst over all prompts and steps, compared "
        "with PyTorch in float32; SNR of the text embedding, of one step's network output with guidance, of the "
        "decoder and of the latents over the whole trajectory; PSNR of the picture."
    )
    head = ["runtime, precision", "all, MB", "denoise, MB", "denoise, ms", "decoder, ms", "text, ms", "denoise, x fp32"]
    names = ("text", "prediction", "decoder", "trajectory", "picture")
    return f"{table([*head, *(f'{name}, dB' for name in names)], rows)}\n\n{note}"


def npu(found: Found) -> str:
    """ONNX programs of the shipped model, rounded for a processor and for an NPU."""
    rows = [
        [row["precision"], f"{sum(row['bytes'].values()) / MEGA:.1f}", f"{row['bytes']['denoise'] / MEGA:.1f}"]
        + [str(row["operations_in_float"][stage]) for stage in ("denoise", "decode_image")]
        + [f"{row['worst'][check]:.1f}" for check in WORST]
        for row in found["rows"]
    ]
    conditions = found["conditions"]
    note = (
        f"`emoji`; run by ONNX Runtime {conditions['versions']['onnxruntime']} on the processor "
        f"({conditions['processor']}), not by an NPU. **in float**: operations whose result is not rounded, in the "
        "step and in the decoder; the one of w8a16 turns integers into integers. **text** to **picture**: as in the "
        "table above."
    )
    head = ["ONNX, precision", "all, MB", "denoise, MB", "in float: step", "in float: decoder"]
    names = ("text", "prediction", "decoder", "trajectory", "picture")
    return f"{table([*head, *(f'{name}, dB' for name in names)], rows)}\n\n{note}"


def quality(found: Found) -> str:
    """KID and retrieval of every precision of an emoji model."""
    names = list(found["rows"]["torch"]["sets"])
    rows = []
    for name, row in found["rows"].items():
        cells = [name.replace("-", " ", 1)]
        for each in names:
            kid, recall = row["sets"][each]["kid"], row["sets"][each]["recall_5"]
            cells += [_interval(kid, 1000, 0), _interval(recall, 100, 0)]
        rows.append(cells)
    head = [part for each in names for part in (f"{each}: KID x 1000", f"{each}: R@5, %")]
    note = (
        f"{measured_model(found['model'])}; "
        f"{found['count']} prompts per set, the same prompts and seeds in every row; measured by "
        "`mobile-diffusion evaluate`; 95 % bootstrap intervals in brackets. KID: lower is better. R@5: how often the "
        "caption is among the first five that a picture retrieves; higher is better."
    )
    return f"{table(['runtime, precision', *head], rows)}\n\n{note}"


def _interval(values: Found, scale: float, digits: int) -> str:
    shown = [f"{values[part] * scale:.{digits}f}" for part in ("value", "low", "high")]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def memory(found: list[Found]) -> str:
    """Resident memory of the C++ runner."""
    ways = list(dict.fromkeys(stage["way"] for row in found for stage in row["stages"]))
    rows = [
        [row["name"], row["precision"], f"{sum(row['files'].values()):.0f}", *(_held(row, way) for way in ways)]
        for row in found
    ]
    note = (
        "Peak resident memory of the C++ runner on x86-64 with one thread; in brackets the part that no file backs, "
        "which a phone cannot reclaim. **together**: all stages loaded. **sequential**: one stage at a time. "
        "**packed**: with `--packed`, XNNPACK's packed weights are mapped files; cold: the run that makes them, "
        f"warm: a later run. {trained(row['name'] for row in found)}; the others have random weights."
    )
    return f"{table(['model', 'precision', 'programs, MB', *(f'{way}, MB' for way in ways)], rows)}\n\n{note}"


def _held(row: Found, way: str) -> str:
    stages = [stage for stage in row["stages"] if stage["way"] == way]
    peak = max(max(stage["load_peak"], stage["run_peak"]) for stage in stages)
    return f"{peak:.0f} ({max(stage['private'] for stage in stages):.0f})"


TABLES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "speed": ("android_speed", speed),
    "delegation": ("android_delegation", delegation),
    "precisions": ("android_precisions", precisions),
    "npu": ("android_npu", npu),
    "quality": ("android_quality", quality),
    "memory": ("android_memory", memory),
}
"""Marker -> the results' name, and what makes a table of them."""


def main() -> None:
    """Fill every table whose results are there."""
    fill_page(PAGE, rendered(TABLES))


if __name__ == "__main__":
    run_script(main, __doc__)
