"""Names the checkpoint in results of the emoji model that were measured before results said it.

    .venv/bin/python -m benchmarks.documents.stamp

The proof is the history of the repository: a row that is not in the file as it was when the weights of assets/emoji
last changed was measured afterwards, with the present weights.  A row that was there already gets no hash: it belongs
to an earlier model, and must be measured again or be renamed.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import typer

from benchmarks.measuring.command_line import run_script
from benchmarks.measuring.results import CHECKPOINT, read_result, rows_of_present, stamp, write_result
from benchmarks.paths import EMOJI, RESULTS, ROOT
from export.signatures import PARTS


def git(*words: str) -> str:
    """What git prints; "" if it fails."""
    return subprocess.run(("git", *words), cwd=ROOT, capture_output=True, text=True).stdout.strip()


def last_change(row: dict[str, Any]) -> str:
    """The commit that last changed the weights that a row speaks of: those of its stage, or all of the model's."""
    parts = [PARTS[row["stage"]]] if row.get("stage") in PARTS else sorted(set(PARTS.values()))
    return git("log", "-1", "--format=%H", "--", *(str(EMOJI / f"{part}.safetensors") for part in parts))


def earlier(path: Path, commit: str) -> list[Any]:
    """The rows of the shipped model in a file of results as it was at a commit, and its parent's."""
    found = git("show", f"{commit}:{path.relative_to(ROOT).as_posix()}")
    return list(rows_of_present(json.loads(found))) if found else []


def main() -> None:
    """Fill what can be proved, and name what cannot."""
    for path in sorted(RESULTS.glob("*.json")):
        found = read_result(path, None)
        fresh = [row for row in rows_of_present(found) if CHECKPOINT not in row]
        if not fresh:
            continue
        proved = [row for row in fresh if row not in earlier(path, last_change(row))]
        typer.echo(f"{path.name}: {len(proved)} of {len(fresh)} rows were measured with the present weights")
        if len(proved) == len(fresh):
            write_result(path, stamp(found, proved))


if __name__ == "__main__":
    run_script(main, __doc__)
