"""The documents of the repository, as text to be checked: pages, fenced blocks, commands, links and headings."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    {
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(page for folder in ("apps", "assets") for page in (ROOT / folder).rglob("*.md") if "build" not in page.parts),
    }
)
"""Every document that a reader is sent to."""
FENCE = re.compile(r"^(?P<fence>```+)(?P<language>[^\n`]*)\n(?P<body>.*?)^(?P=fence)[ \t]*$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*$", re.MULTILINE)
SHELLS = ("", "sh", "bash", "console", "shell")


@dataclass(frozen=True)
class Line:
    """One line of a block of commands, continued lines joined."""

    page: Path
    text: str

    @property
    def place(self) -> str:
        """For messages."""
        return f"{name_of(self.page)}: {self.text}"

    def commands(self) -> list[list[str]]:
        """Its commands as words, without comments; `a && b` are two."""
        found: list[list[str]] = [[]]
        for word in shlex.split(self.text, comments=True):
            found.append([]) if word == "&&" else found[-1].append(word)
        return [words for words in found if words]


def name_of(page: Path) -> str:
    """A document's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """A page without its fenced blocks and comments."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def lines(page: Path) -> list[Line]:
    """Every line of the blocks that a reader types into a shell: those without a language, or with a shell's."""
    found = []
    for block in FENCE.finditer(page.read_text(encoding="utf-8")):
        if block["language"].strip() in SHELLS:
            joined = re.sub(r"\\\n\s*", " ", block["body"])
            found += [Line(page, line.strip()) for line in joined.splitlines() if line.strip()]
    return found


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    found: dict[str, int] = {}
    names = set()
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for heading in HEADING.finditer(text):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[2])
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        names.add(slug if slug not in found else f"{slug}-{found[slug]}")
        found[slug] = found.get(slug, 0) + 1
    return names
