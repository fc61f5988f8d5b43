"""Links between the pages of docs/ and the rest of the repository.

On GitHub a relative link may lead anywhere in the repository. On the site it may not: a link to a file that is a page
of the site leads to that page, a link to any other file becomes its path. A page that holds only
`<!-- page: FILE -->` is that file, with its links read from where the file lies.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!\w+:|#)([^()\s#]*)(#[^()\s]*)?\)")
"""An image or a link whose target is a path: mark, text, path, anchor."""
PAGE = re.compile(r"\s*<!-- page: (\S+) -->\s*")
FENCE = re.compile(r"(^```.*?^```[^\n]*$)", re.DOTALL | re.MULTILINE)


def pages() -> dict[Path, Path]:
    """File of the repository -> the page of the site that shows it."""
    shown = {page: page for page in DOCS.rglob("*.md")}
    for page in list(shown):
        if (found := PAGE.fullmatch(page.read_text(encoding="utf-8"))) is not None:
            shown[ROOT / found[1]] = page
    return shown


def on_site(text: str, origin: Path, page: Path, shown: dict[Path, Path]) -> str:
    """`text` of the file `origin` as the site's `page` has it; links in blocks of code stay as they are."""

    def turned(link: re.Match[str]) -> str:
        mark, label, path, anchor = link[1], link[2], link[3], link[4] or ""
        target = Path(os.path.normpath(origin.parent / path))
        if mark or target in shown:
            return f"{mark}[{label}]({os.path.relpath(shown.get(target, target), page.parent)}{anchor})"
        name = target.relative_to(ROOT).as_posix()
        return label if name in label else f"{label} (`{name}`)"

    parts = FENCE.split(text)
    parts[::2] = [LINK.sub(turned, part) for part in parts[::2]]
    return "".join(parts)


def read_source(app: Any, name: str, source: list[str]) -> None:
    """Sphinx hands over the text of a page before it is parsed."""
    page = DOCS / f"{name}.md"
    found = PAGE.fullmatch(source[0])
    origin = page if found is None else ROOT / found[1]
    text = source[0] if found is None else origin.read_text(encoding="utf-8")
    source[0] = on_site(text, origin, page, pages())


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.connect("source-read", read_source)
    return {"parallel_read_safe": True}
