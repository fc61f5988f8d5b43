"""Writes the tables about real checkpoints into three documents, from benchmarks/results/*.json.

    python -m benchmarks.documents.checkpoints

support.json comes from checkpoints/support.py, full_size.json from checkpoints/full_size_export.py,
full_size_stages.json from checkpoints/full_size_stages.py, options.json from checkpoints/option_costs.py,
guided_steps.json from checkpoints/guided_steps.py.
"""

from __future__ import annotations

from typing import Any

from benchmarks.checkpoints.random_weights import XL_ARCHITECTURES
from benchmarks.documents.markers import fill_page, read, table
from benchmarks.measuring.command_line import run_script
from benchmarks.paths import RESULTS, ROOT

Cell = dict[str, Any]


def support() -> str:
    """A row for each architecture; each cell says what was checked."""
    found = read(RESULTS / "support.json")
    rows = [[name, *(WORDS[column](cells[column]) for column in WORDS)] for name, cells in found.items()]
    wide = "SDXL's relatives at 256 px; " if XL_ARCHITECTURES.keys() & found else ""
    notes = (
        "**load**: real widths, random float16 weights in the published layout, every network read. The others: the "
        "same architecture, every width divided by 10. **draw** and **img2img** (strength 0.5): all steps against "
        "diffusers' own pipeline, largest error of the latents relative to their largest value, and of a pixel in "
        f"levels of 255 (Euler, which diffusers scales otherwise between its steps: the last one); {wide}"
        "the exports of sdxs-512 were measured with DDIM, before its own scheduler was supported. "
        "**ios** and **android**: exported with the stage `encode_image`, every program compared with "
        "PyTorch over whole trajectories, one of them a redrawn picture; worst SNR of the free-running latents and "
        "PSNR of the picture. ios is the saved Core ML program interpreted, android ExecuTorch / ONNX Runtime."
    )
    return f"{table(['checkpoint', *WORDS], rows)}\n\n{notes}"


def _failed(cell: Cell) -> str | None:
    if "error" in cell:
        return f"no: {cell['error']}"
    return "by ios and android" if "compared" in cell else None


def _load(cell: Cell) -> str:
    millions = sum(cell.get("parameters", {}).values()) / 1e6
    return _failed(cell) or f"{millions:,.0f} M in {cell['load_s']:.0f} s"


def _drawn(cell: Cell) -> str:
    failed, steps = _failed(cell), "steps" if cell.get("steps") != 1 else "step"
    return failed or f"{cell['steps']} {steps}, {cell['latents']:.0e}, {cell['level']:.1f}"


def _exported(cell: Cell) -> str:
    if (failed := _failed(cell)) is not None:
        return failed
    worst = cell["parity_db"]
    runtimes = dict.fromkeys(key.split()[0] for key in worst)
    return " / ".join(f"{worst[f'{name} free_running']:.0f}, {worst[f'{name} picture']:.0f} dB" for name in runtimes)


WORDS = {"load": _load, "draw": _drawn, "ios": _exported, "android": _exported, "img2img": _drawn}
"""How each column is told."""


def full_size() -> str:
    """Whole exports at real size."""
    rows, found = [], read(RESULTS / "full_size.json")
    for row in found:
        parity = ", ".join(f"{check} {value:.0f}" for check, value in row["parity_db"].items())
        figures = [f"{row['seconds']:.0f} s", f"{row['peak_gb']:.1f} GB", f"{row['private_gb']:.1f} GB"]
        rows.append([row["checkpoint"], row["target"], row["size"], *figures, f"{row['bundle_gb']:.2f} GB", parity])
    head = ["checkpoint", "target", "pixels", "time", "peak memory", "of it private", "bundle", "worst SNR, dB"]
    places = " and ".join(sorted({f"{row['processor']}, {row['cores']} cores" for row in found}))
    return f"{table(head, rows)}\n\nOn {places}."


def figures() -> str:
    """What a reader of the README decides by: size, time and closeness of whole exports at real size."""
    rows, found = [], read(RESULTS / "full_size.json")
    for row in found:
        check, worst = min(row["parity_db"].items(), key=lambda each: each[1])
        needs = [f"{row['bundle_gb']:.1f} GB", f"{row['seconds'] / 60:.0f} min", f"{row['private_gb']:.1f} GB"]
        rows.append([row["checkpoint"], row["target"], *needs, f"{worst:.0f} dB ({check})"])
    head = ["checkpoint", "target", "bundle", "export takes", "memory it needs", "worst SNR against PyTorch"]
    return table(head, rows)


def stages() -> str:
    """One stage of Stable Diffusion 1.5, by the libraries' own way and by ours."""
    found: dict[tuple[str, str], dict[str, Cell]] = {}
    for row in read(RESULTS / "full_size_stages.json"):
        found.setdefault((row["runtime"], row["stage"]), {})[row["way"]] = row
    rows = []
    for (runtime, stage), ways in found.items():
        lowered = [_lowered(ways[way]) for way in ("naive", "ours")]
        ran = f"{ways['run']['seconds']:.1f} s, {ways['run']['snr_db']:.0f} dB"
        rows.append([runtime, stage, *lowered, ran, f"{ways['torch']['seconds']:.1f} s"])
    return table(["runtime", "stage", "naive lowering", "our lowering", "our program runs", "PyTorch runs"], rows)


def _lowered(row: Cell) -> str:
    return f"{row['seconds']:.0f} s, {row['peak_gb']:.1f} GB, file {row['size_gb']:.2f} GB"


def options() -> str:
    """What each option costs."""
    rows = [
        [f"`{name}`" if name.startswith("--") else name, *(f"{cost[key]:g}" for key in UNITS)]
        for name, cost in read(RESULTS / "options.json").items()
    ]
    return table(["option", *UNITS.values()], rows)


def guided_steps() -> str:
    """A guided step in one call and in two."""
    result = read(RESULTS / "guided_steps.json")
    rows = []
    for name, cell in result["runtimes"].items():
        both, once = cell["megabytes"]["both in one call"], cell["megabytes"]["one per call"]
        times = (cell[f"{way}_ms"] for way in ("guided_step_in_one_call", "guided_step_in_two_calls"))
        rows.append([name, *(f"{time:.0f}" for time in (*times, cell["step_without_guidance_ms"])), f"{both} / {once}"])
    head = [
        "runtime",
        "guided, one call, ms",
        "guided, two calls, ms",
        "not guided, ms",
        "program, MB, one / two calls",
    ]
    found = result["conditions"]
    threads = f"{found['threads']} thread{'s' * (found['threads'] > 1)}"
    notes = f"{found['processor']}, {threads}, processor time, medians of interleaved calls. Not times of a phone."
    return f"{table(head, rows)}\n\n{notes}"


def solvers() -> str:
    """How far every solver is from diffusers'."""
    rows = []
    for name, cell in read(RESULTS / "solvers.json").items():
        errors = [_error(value) for value in cell["float64"].values()]
        keeps = f"{cell['memory'] or 'none'}{', noise' if cell['noise'] else ''}"
        rows.append([f"`{name}`", cell["scheduler"], keeps, *errors, _error(cell["float32"])])
    counts = next(iter(read(RESULTS / "solvers.json").values()))["float64"]
    head = [
        "solver",
        "diffusers' class",
        "memory, noise",
        *(f"{count} step{'s' * (count != '1')}" for count in counts),
        "as it is",
    ]
    tried = sum(cell["combinations"] for cell in read(RESULTS / "solvers.json").values())
    notes = (
        "Largest error of the latents after any step, relative to the largest latent, between the step table and "
        f"diffusers 0.42's own class made to compute in float64, over {tried:,} drawings: a seeded sample of every "
        "combination of spacing, prediction, betas, sigmas, order, formula and ending. **as it is**: the class in its "
        "own float32, with Stable Diffusion's betas, but for one and two steps in linspace spacing, where float32 "
        "knows the last level to 7e-5 only. **memory**: tensors that the app hands from step to step; "
        "**noise**: it draws noise at the steps."
    )
    return f"{table(head, rows)}\n\n{notes}"


def _error(value: float) -> str:
    return f"{value:.0e}"


UNITS = {
    "denoise_runs": "denoise runs",
    "tera_macs": "tera MACs per picture",
    "weights_gb": "fp16 weights, GB",
    "memory_gb": "largest stage, GB",
}


def main() -> None:
    """Write the documents anew."""
    fill_page(ROOT / "README.md", {"figures": figures()})
    fill_page(ROOT / "docs" / "measurements.md", {"support": support()})
    fill_page(ROOT / "docs" / "guides" / "faster.md", {"guided steps": guided_steps()})
    fill_page(
        ROOT / "docs" / "checkpoints.md",
        {"full-size": full_size(), "stages": stages(), "options": options(), "solvers": solvers()},
    )


if __name__ == "__main__":
    run_script(main, __doc__)
