"""The site builds without a warning and without a network, and no link in it is dead."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.documents import ROOT

NO_NETWORK = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}


class Links(HTMLParser):
    """Collects where a page leads and which anchors it has."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.targets.append(value)
            if name in ("id", "name") and value:
                self.names.add(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    out = tmp_path_factory.mktemp("site") / "docs"
    options = ["-q", "-W", "--keep-going", "-E", "-b", "html", "-d", str(out.parent / "trees")]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, str(ROOT / "docs"), str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, **NO_NETWORK, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def read(site: Path) -> dict[Path, Links]:
    """Page -> its links and anchors."""
    found = {}
    for page in site.rglob("*.html"):
        found[page] = Links()
        found[page].feed(page.read_text(encoding="utf-8"))
    return found


def test_every_link_and_picture_leads_somewhere(read: dict[Path, Links]) -> None:
    dead = []
    for page, links in read.items():
        for target in links.targets:
            if "://" in target or target.startswith(("mailto:", "data:")):
                continue
            path, _, anchor = unquote(target).partition("#")
            file = (page.parent / path.partition("?")[0]).resolve() if path else page
            if not file.exists():
                dead.append(f"{page.name}: {target}")
            elif anchor and file in read and anchor not in read[file].names:
                dead.append(f"{page.name}: {target} (anchor)")
    assert not dead, "\n".join(dead)


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    """No page asks another host for a script, a font or a picture."""
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert 'src="http' not in text and "src='http" not in text, page
        assert 'rel="stylesheet" href="http' not in text, page


def test_every_command_and_the_public_interface_have_their_place(site: Path) -> None:
    commands = (site / "commands.html").read_text(encoding="utf-8")
    for name in ("export ios", "export android", "verify", "bench", "train distil"):
        assert f"mobile-diffusion {name}" in commands
    interface = (site / "api" / "index.html").read_text(encoding="utf-8")
    for name in ("mobile_diffusion.open_checkpoint", "mobile_diffusion.Pipeline", "export.export_target"):
        assert f'id="{name}"' in interface
