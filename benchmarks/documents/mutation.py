"""Writes the table of docs/mutation.md from benchmarks/results/mutation.json.

python -m benchmarks.documents.mutation
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.documents.markers import fill_page, read, table
from benchmarks.measuring.command_line import run_script
from benchmarks.mutation.catalogue import FAULTS
from benchmarks.mutation.run import FIGURES, LOWERING, RESULT, WAYS
from benchmarks.paths import ROOT

PAGE = ROOT / "docs" / "mutation.md"
TITLES = {
    "onnx-fp32": "ONNX fp32",
    "xnnpack-fp32": "XNNPACK fp32",
    "xnnpack-fp16": "XNNPACK fp16 weights",
    "coreml-fp16": "Core ML fp16",
    "coreai-fp16": "Core AI fp16",
}
SHORT = {"encode_text": "text", "denoise": "step", "prediction": "step", "decode_image": "decoder"}


def cell(found: Sequence[str]) -> str:
    """The first gate that fails, or what else finds the fault."""
    gates = [SHORT.get(name, name) for name in found if name not in (FIGURES, LOWERING)]
    if gates:
        return f"gate: {gates[0]}"
    return {FIGURES: "figures", LOWERING: "lowering"}[found[0]] if found else "**missed**"


def faults(rows: Sequence[Mapping[str, Any]]) -> str:
    """Fault x runtime: what catches it."""
    by = {(row["stage"], row["fault"], row["way"]): row["by"] for row in rows}
    lines = [
        [fault.stage, fault.name, *(cell(by[fault.stage, fault.name, way]) for way in WAYS)]
        for fault in FAULTS
        if (fault.stage, fault.name, next(iter(WAYS))) in by
    ]
    return table(["stage", "fault", *(TITLES[way] for way in WAYS)], lines)


def main() -> None:
    """Write it."""
    fill_page(PAGE, {"mutation": faults(read(RESULT)["rows"])})


if __name__ == "__main__":
    run_script(main, __doc__)
