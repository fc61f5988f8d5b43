"""Every relative link and picture in the documents leads to a file, and every anchor to a heading."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.documents import INLINE, LINK, PAGES, ROOT, anchors, name_of, prose


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for _, _, target in LINK.findall(prose(page)):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists():
            dead.append(f"{target}: no such file")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            dead.append(f"{target}: no such heading")
    assert not dead, "\n".join(dead)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pictures_say_what_they_show(page: Path) -> None:
    """A picture has an alternative text, for those who cannot see it."""
    silent = [target for mark, text, target in LINK.findall(prose(page)) if mark and not text.strip()]
    assert not silent, silent


NAMED = re.compile(r"(?:export|mobile_diffusion|tests|benchmarks|docs|apps|assets)/[\w./-]+")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_named_in_the_text_exist(page: Path) -> None:
    """`export/job/run.py` in running text is a file; a name in capitals stands for the reader's own."""
    named = [code for code in INLINE.findall(prose(page)) if NAMED.fullmatch(code) and not re.search(r"[A-Z]{3}", code)]
    gone = [code for code in named if not (ROOT / code).exists() and "/build" not in code]
    assert not gone, gone
