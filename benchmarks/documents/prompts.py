"""Writes the table of docs/guides/prompts.md from benchmarks/results/prompt_windows.json.

python -m benchmarks.documents.prompts
"""

from __future__ import annotations

from benchmarks.checkpoints.windows_cost import RESULT
from benchmarks.documents.markers import fill_page, read, table
from benchmarks.measuring.command_line import run_script
from benchmarks.paths import ROOT

PAGE = ROOT / "docs" / "guides" / "prompts.md"
HEADER = ["model", "windows", "GMACs of a guided step", "weights of `denoise`, fp16", "its activations, fp32"]
TEXT = "calls of the text encoder per picture"


def main() -> None:
    """Write it."""
    rows = [
        [
            row["model"],
            str(row["windows"]),
            f"{row['step_gmacs']:.1f}",
            f"{row['step_weights_mb']:,.0f} MB",
            f"{row['step_activations_mb']:,.0f} MB",
            f"{row['text_calls']} of {row['text_gmacs']:.1f} GMACs",
        ]
        for row in read(RESULT)["rows"]
    ]
    fill_page(PAGE, {"windows": table([*HEADER, TEXT], rows)})


if __name__ == "__main__":
    run_script(main, __doc__)
