"""Writes the tables of docs/coreml.md from benchmarks/results/*.json; each marker there names the script it comes from.

    python -m benchmarks.documents.coreml

A table whose results are not there stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.documents.markers import decibels, fill_page, measured_model, rendered, table, trained
from benchmarks.measuring.command_line import run_script
from benchmarks.paths import ROOT

PAGE = ROOT / "docs" / "coreml.md"
MEGA = 1e6
FIGURES = ("seconds", "cpu_seconds", "peak_gb")
Found = dict[str, Any]


def variants(found: Found) -> str:
    """Model x weights x layout."""
    checks = ("encode_text", "prediction", "decode_image", "free_running", "picture")
    rows = [
        [model, row["compression"], row["layout"], f"{row['size_bytes'] / MEGA:.1f}"]
        + [decibels(row["worst_db"][check]) for check in checks]
        + [str(row["overflows"])]
        for model, rows in found["models"].items()
        for row in rows
    ]
    names = ("text", "prediction", "decoder", "trajectory", "picture")
    head = ["model", "weights", "layout", "MB", *(f"{name}, dB" for name in names), "overflows"]
    note = (
        "The worst over all prompts and steps, compared with PyTorch and the original weights: SNR of the text "
        "embedding, of one step's network output with guidance, of the decoder and of the latents over the whole "
        f"trajectory; PSNR of the picture. {trained(found['models'])}; the other models have random weights and every "
        f"width divided by {narrow(found)}. Run by the interpreter on Linux, as stored, not on Apple hardware."
    )
    return f"{table(head, rows)}\n\n{note}"


def narrow(found: Found) -> int:
    """By how much the random models are narrower than their names say."""
    return int(found["conditions"]["narrow"])


def mixed(found: Found) -> str:
    """Networks that leave float16, converted in three ways."""
    ways = {"naive": "coremltools' norms, float16", "float16": "ours, float16", "mixed": "ours, auto"}
    rows = [
        [case, row["stage"], title, *figures(row[way])]
        for case, row in found["cases"].items()
        for way, title in ways.items()
    ]
    head = ["case", "stage", "conversion", "MB", "SNR, dB", "operations in float32"]
    note = (
        f"{found['conditions']['model']} with random weights and every width divided by {narrow(found)}, scaled until "
        "numbers leave float16: attention scores of the U-Net, its stream, an activation of the text encoder, the "
        "decoder's stream, one scale of the decoder. "
        "The worst of four inputs, of other drawings than those on which the modules were chosen, compared with "
        "PyTorch; run by the interpreter on Linux."
    )
    return f"{table(head, rows)}\n\n{note}"


def full_size(found: Found) -> str:
    """Modules chosen for a network of real widths."""
    rows = [
        [
            row["runtime"],
            f"{row['choose']['cpu_seconds'] / 60:.0f} min",
            f"{row['choose']['peak_gb']:.1f} GB",
            f"{100 * row['choose']['weights_in_float32'] / row['choose']['weights']:.0f} %",
            f"{row['lower']['cpu_seconds']:.0f} s",
            f"{row['lower']['size_gb']:.2f} GB",
            f"{row['run']['cpu_seconds']:.0f} s",
            f"{row['run']['snr_db']:.0f} dB",
        ]
        for row in found["rows"]
    ]
    about = found["conditions"]
    note = (
        f"The U-Net of {about['model']} at 768 px with random weights, its stream scaled beyond float16; "
        f"{about['trials']} trials on one sample, one step on another. Processor time, {about['processor']}, "
        f"{about['threads']} threads."
    )
    head = ["runtime", "choosing", "peak", "weights in float32", "lowering", "program", "one step", "SNR, latents"]
    return f"{table(head, rows)}\n\n{note}"


def figures(way: Found) -> list[str]:
    """Size, ratio and operations of one package."""
    ratio = "not finite" if way["snr_db"] is None else f"{way['snr_db']:.1f}"
    return [f"{way['size_bytes'] / MEGA:.2f}", ratio, f"{way['operations_in_float32']} of {way['operations']}"]


def black(found: Found) -> str:
    """The amplified decoder, converted in several ways."""
    rows = [
        [name, f"{way['psnr_db']:.1f} dB", str(way["operations_that_overflow"]), f"{way['elements_that_overflow']:,}"]
        for name, way in found.items()
        if isinstance(way, dict) and "psnr_db" in way
    ]
    shown = table(["conversion", "picture, PSNR to PyTorch", "operations that overflow", "numbers that overflow"], rows)
    factor = found["conditions"]["factor"]
    return f"{shown}\n\nDecoder of the emoji model, amplified {factor:g} times; run by the interpreter on Linux."


def layouts(found: Found) -> str:
    """Operations and parity of both layouts."""
    rows = []
    for row in found["rows"]:
        counts = row["counts"]
        shown = [str(counts.get(name, 0)) for name in ("transpose", "reshape", "gather")]
        snr = "" if row["snr_db"] is None else f"{row['snr_db']:.1f}"
        lowered = [f"{row['cpu_seconds']:.0f}", f"{row['peak_gb']:.1f}"]
        rows.append(
            [row["model"], row["stage"], row["layout"], row["system"], str(row["operations"]), *shown, *lowered, snr]
        )
    head = ["model", "stage", "layout", "system", "operations", "transposes", "reshapes", "gathers"]
    return table([*head, "lowering, CPU s", "peak, GB", "SNR, dB"], rows)


def chunks(found: Found) -> str:
    """Stable Diffusion's U-Net in parts."""
    rows = []
    for row in found["rows"]:
        parts = ", ".join(f"{part['weights_mb']:.0f}" for part in row["parts"])
        crossing = ", ".join(f"{size:.1f}" for size in row["crossing_mb"])
        equal = {True: "bit-equal", False: "not equal", None: "not run"}[row["equal"]]
        rows.append(
            [f"{row['limit_mb']} MB", parts, crossing, f"{row['cpu_seconds']:.0f}", f"{row['peak_gb']:.1f}", equal]
        )
    head = ["limit", "parts, MB", "crossing each joint, MB", "CPU s", "peak, GB", "run by the interpreter"]
    return f"{table(head, rows)}\n\nStable Diffusion 1.5's `denoise` at 512 pixels, random weights."


def sharing(found: Found) -> str:
    """An emoji model's functions in one package."""
    combined = found["rows"][0]
    rows = [
        [each["name"], f"{each['record_bytes'] / MEGA:.1f}", f"{100 * each['shared']:.1f} %"]
        for each in combined["functions"]
    ]
    sizes = f"{combined['source_mb']:.1f} MB in three packages, {combined['combined_mb']:.1f} MB in one"
    note = f"{measured_model(combined['model'])}'s `denoise`: {sizes}."
    return f"{table(['function', 'weights, MB', 'shared'], rows)}\n\n{note}"


def palettization(found: Found) -> str:
    """Six bits at 860 million weights, by coremltools and by us."""
    rows = [
        [name, *(f"{found[name][key]:.1f}" for key in FIGURES), str(found[name]["size_gb"])]
        for name in ("ours", "coremltools")
        if name in found
    ]
    ratio = found["compared"]
    note = (
        f"{found['conditions']['model']}; {found['conditions']['recipe']}. Squared reconstruction error, ours divided "
        f"by coremltools', over {ratio['weights']} weight tensors: mean {ratio['error_ratio_mean']:.4f}, worst "
        f"{ratio['error_ratio_worst']:.4f}."
    )
    return f"{table(['way', 'seconds', 'CPU s', 'peak, GB', 'package, GB'], rows)}\n\n{note}"


def curve(found: Found) -> str:
    """Quality against bits."""
    rows = []
    for row in found["emoji"]["rows"]:
        kid, recall = row["kid"], row["recall_at_5"]
        rows.append(
            [row["recipe"], f"{row['bits']:.2f}"]
            + [decibels(row[key]) for key in ("prediction_snr_db", "latents_snr_db", "picture_psnr_db")]
            + [f"{1000 * kid['value']:.0f} ({1000 * kid['low']:.0f} to {1000 * kid['high']:.0f})"]
            + [f"{100 * recall['value']:.0f} ({100 * recall['low']:.0f} to {100 * recall['high']:.0f})"]
        )
    conditions = found["emoji"]["conditions"]
    head = ["weights", "bits", "prediction, dB", "final latents, dB", "picture PSNR, dB", "KID x 1000", "R@5, %"]
    note = (
        f"{measured_model(conditions['model'])}; "
        f"{conditions['pictures']} training captions, drawn by PyTorch with the weights as "
        "stored; 95 % bootstrap intervals in brackets. Grey in the figure: one step of Stable Diffusion 1.5's U-Net "
        "with random weights."
    )
    return f"{table(head, rows)}\n\n{note}"


def speed(found: list[Found]) -> str:
    """How fast the interpreter is."""
    rows = [
        [row["model"], row["precision"], str(row["threads"]), str(row["steps"])]
        + [f"{row[key]:.1f}" for key in ("open_seconds", "seconds", "cpu_seconds", "peak_gb")]
        for row in found
    ]
    head = ["model", "mode", "threads", "steps", "opening, s", "run, s", "CPU s", "peak, GB"]
    note = (
        "`denoise`, second run; the first one reads the weights. sd15: Stable Diffusion 1.5's U-Net at 512 pixels, "
        "1.7 GB, random weights."
    )
    return f"{table(head, rows)}\n\n{note}"


def delegate(found: Found) -> str:
    """The program inside an ExecuTorch delegate, by both lowerings."""
    names = ("stage", "lowering", "delegates", "outside")
    rows = [
        [*(str(row[name]) for name in names), f"{row['size_bytes'] / MEGA:.1f}", f"{row['worst_db']:.1f}"]
        for row in found["rows"]
    ]
    shown = table(["stage", "lowering", "delegates", "operations outside", "MB", "worst SNR, dB"], rows)
    note = (
        f'The emoji model in float16 for iOS 17, drawing "{found["conditions"]["prompt"]}"; the package was taken out '
        "of the .pte and run by the interpreter on Linux."
    )
    return f"{shown}\n\n{note}"


TABLES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "variants": ("coreml_variants", variants),
    "black": ("black_image", black),
    "mixed": ("mixed_precision", mixed),
    "full-size": ("mixed_full_size", full_size),
    "layouts": ("coreml_layouts", layouts),
    "chunks": ("chunking", chunks),
    "sharing": ("sharing", sharing),
    "palettization": ("palettization", palettization),
    "curve": ("compression_curve", curve),
    "speed": ("interpreter_speed", speed),
    "delegate": ("executorch_delegate", delegate),
}
"""Marker to the file of its results and its writer."""


def main() -> None:
    """Fill every table whose results are there."""
    fill_page(PAGE, rendered(TABLES))


if __name__ == "__main__":
    run_script(main, __doc__)
