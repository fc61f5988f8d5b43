"""Six-bit palettes for 860 million weights: ours, and coremltools' with its defaults, in one run.

    python -m benchmarks.coreml.palettization --work /tmp/palettes                       # lowers the U-Net first
    python -m benchmarks.coreml.palettization --work /tmp/palettes --package /tmp/denoise.mlpackage

The package is that of Stable Diffusion 1.5's U-Net at 512 pixels with random weights
(checkpoints/full_size_stages.py), the only ones of this size at hand.  PyTorch's initialisation is uniform within each
layer, so errors are those of uniform numbers.  Each way is its own process, from a saved package to a saved
package; ours includes reading every weight back.  Seconds are without imports.  Errors of both are then measured from
the files, through our reader, weight by weight.  Results go to benchmarks/results/palettization.json; needs 4 GB of
memory and of disk.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks.checkpoints.full_size_stages import Clock
from benchmarks.checkpoints.full_size_stages import ours as lower_denoise
from benchmarks.measuring.command_line import Work, chosen, run_script
from benchmarks.measuring.peak_memory import measure_call
from benchmarks.measuring.results import conditions, read_result, write_result
from benchmarks.paths import RESULTS
from export.compression import find_recipe, uniform_plan
from export.compression.store import reconstruction_snr
from export.coreml.compress import compress_package, layers_of
from export.coreml.compress.constexpr import LUT, SUFFIXES
from export.coreml.compress.rewrite import places
from export.coreml.compress.verify import compressed, decode, operands_of
from export.coreml.package_archive import CoreMLPackage
from export.coreml.toolchain import NOISY_LOGGERS, import_coremltools, without_bars
from export.quiet import errors_only

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "palettization.json"
RECIPE, BITS = "palettize-6", 6
GIGA = 1e9


def ours(package: Path, out: Path) -> dict[str, float]:
    """Our compression, with every weight read back and compared."""
    import_coremltools()
    clock = Clock()
    plan = uniform_plan("denoise", layers_of(CoreMLPackage.open(package)), find_recipe(RECIPE))
    compress_package(package, out, plan)
    return clock.read()


def coremltools(package: Path, out: Path) -> dict[str, float]:
    """coremltools' guide: load, palettize, save."""
    import coremltools.optimize.coreml as cto

    ct = import_coremltools()
    with errors_only(NOISY_LOGGERS), without_bars():
        clock = Clock()
        model = ct.models.MLModel(str(package), skip_model_load=True)
        config = cto.OpPalettizerConfig(mode="kmeans", nbits=BITS)
        cto.palettize_weights(model, cto.OptimizationConfig(global_config=config)).save(str(out))
        return clock.read()


WAYS = {"ours": ours, "coremltools": coremltools}


def errors(package: Path, out: Path) -> dict[str, dict[str, float]]:
    """Weight -> numbers and SNR in dB of its reconstruction, of those that both ways compress."""
    original, written = CoreMLPackage.open(package), CoreMLPackage.open(out)
    values = places(original.spec)
    stored = {operation.outputs[0].name: operation for operation in compressed(written.spec)}
    found = {}
    for layer in layers_of(original):
        operation = stored[layer.name + SUFFIXES[LUT]]
        decoded = decode(operation.type, operands_of(written, operation))
        snr = reconstruction_snr(original.value(values[layer.place]), decoded)
        found[layer.name] = {"numbers": layer.count, "snr_db": round(snr, 8)}
    return found


def run(name: str, package: Path, work: Path) -> dict[str, Any]:
    """One way, and how good it is."""
    out = work / f"{name}.mlpackage"
    shutil.rmtree(out, ignore_errors=True)
    load = os.getloadavg()[0]
    measured = measure_call(WAYS[name], package, out)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    figures = {
        **{key: round(value, 1) for key, value in measured.result.items()},
        "peak_gb": round(measured.peak_bytes / GIGA, 2),
        "private_gb": round(measured.private_bytes / GIGA, 2),
        "size_gb": round(size / GIGA, 3),
        "load_before": round(load, 1),
        "layers": measure_call(errors, package, out).result,
    }
    shutil.rmtree(out)
    LOGGER.info("%s %s", name, json.dumps({key: value for key, value in figures.items() if key != "layers"}))
    return figures


def compared(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """How the errors of the two ways differ, weight by weight: energies, ours over theirs."""
    mine, other = (found[name]["layers"] for name in WAYS)
    ratios = np.array([10 ** ((other[name]["snr_db"] - mine[name]["snr_db"]) / 10) for name in mine])
    return {
        "weights": len(ratios),
        "numbers": sum(each["numbers"] for each in mine.values()),
        "error_ratio_worst": round(float(ratios.max()), 9),
        "error_ratio_mean": round(float(ratios.mean()), 9),
        "error_ratio_best": round(float(ratios.min()), 9),
    }


def main(
    work: Work,
    package: Annotated[Path | None, typer.Option(help="The U-Net's package, if it is there already.")] = None,
    way: Annotated[list[str] | None, typer.Option(help="May be repeated; the others keep their figures.")] = None,
) -> None:
    """Compress in every way, compare, write."""
    ways = chosen(way, WAYS, "way")
    work.mkdir(parents=True, exist_ok=True)
    source = package or work / "denoise.mlpackage"
    if package is None:
        measure_call(lower_denoise, "coreml", "denoise", work)
    stated = conditions(
        None,
        model="Stable Diffusion 1.5 U-Net, 512 pixels, random weights (PyTorch's initialisation, seed 0)",
        recipe=f"{BITS} bits, k-means, one table per weight tensor",
        processors=os.cpu_count(),
        machine=platform.machine(),
        coremltools=import_coremltools().__version__,
    )
    earlier = read_result(RESULT, {})
    found = {name: run(name, source, work) if name in ways else earlier[name] for name in WAYS}
    result = {"conditions": stated, "compared": compared(found), **found}
    write_result(RESULT, result)
    LOGGER.info("%s", json.dumps(result["compared"]))


if __name__ == "__main__":
    run_script(main, __doc__)
