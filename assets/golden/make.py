"""Write the golden files: the tokens, noise, manifests and drawings that every language must compute.

    python -m assets.golden.make        # rewrites the JSON files beside it

README.md says what each file holds; the modules beside this one make them.  The texts are ASCII, one case a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assets.golden.manifests import manifest_file
from assets.golden.noise import noise_file
from assets.golden.record import trajectory_files
from assets.golden.tokens import ADDED, FULL, added_definition, clip_definition, token_files
from assets.golden.weighted import weighted_file

FOLDER = Path(__file__).resolve().parent


def golden_files() -> Iterator[tuple[str, str]]:
    """Name and text of every golden file."""
    yield FULL, clip_definition() + "\n"
    yield ADDED, added_definition() + "\n"
    for name, values in token_files().items():
        yield name, as_text(values)
    yield "prompts.json", as_text(weighted_file())
    yield "noise.json", as_text(noise_file())
    yield "manifests.json", as_text(manifest_file())
    for name, values in trajectory_files().items():
        yield f"trajectories/{name}.json", as_text(values)


def as_text(values: dict[str, Any]) -> str:
    """An object as JSON: each of its fields on a line, and each entry of its lists."""
    fields = []
    for key, value in values.items():
        entries = ",\n".join("  " + _compact(entry) for entry in value) if isinstance(value, list) else ""
        fields.append(f" {_compact(key)}: " + (f"[\n{entries}\n ]" if entries else _compact(value)))
    return "{\n" + ",\n".join(fields) + "\n}\n"


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def main() -> None:
    """Rewrite all of them."""
    for name, text in golden_files():
        path = FOLDER / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
