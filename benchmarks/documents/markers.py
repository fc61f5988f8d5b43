"""Tables in Markdown, written between two markers of a document: `<!-- NAME: script -->` and `<!-- /NAME -->`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.paths import RESULTS
from mobile_diffusion.decibels import MAX_DB


def read(path: Path) -> Any:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def decibels(value: float | None, digits: int = 1, equal: str = "equal") -> str:
    """A ratio of the results, where `json_number` wrote None for NaN and MAX_DB for infinity."""
    if value is None or math.isnan(value):
        return "NaN"
    return f"{value:.{digits}f}" if value < MAX_DB else equal


def measured_model(name: str) -> str:
    """How a caption calls a model: "emoji" is the emoji model, an earlier one has a name of its own (emoji-27M)."""
    return "The emoji model" if name == "emoji" else f"`{name}`"


def trained(models: Iterable[str]) -> str:
    """Which rows of a table have trained weights; all other models have random ones."""
    names = [f"`{name}`" for name in dict.fromkeys(models) if name.startswith("emoji")]
    return f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'} trained"


def fill(text: str, name: str, content: str) -> str:
    """Replace what stands between the markers `name`."""
    pattern = re.compile(rf"(<!-- {name}:[^>]*-->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"expected the markers <!-- {name}: ... --> and <!-- /{name} -->, got none")
    return pattern.sub(lambda match: f"{match[1]}\n{content}\n\n{match[2]}", text)


def fill_page(page: Path, contents: Mapping[str, str]) -> None:
    """Replace what stands between several markers of a page."""
    text = page.read_text(encoding="utf-8")
    for name, content in contents.items():
        text = fill(text, name, content)
    page.write_text(text, encoding="utf-8")


def rendered(tables: Mapping[str, tuple[str, Callable[[Any], str]]]) -> dict[str, str]:
    """Marker -> table, of those whose results are there; `tables` names the file of results and what renders it."""
    paths = {marker: RESULTS / f"{name}.json" for marker, (name, _) in tables.items()}
    return {marker: render(read(paths[marker])) for marker, (_, render) in tables.items() if paths[marker].exists()}
