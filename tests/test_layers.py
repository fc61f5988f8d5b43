"""Imports run one way, as the table of docs/architecture.md orders the rooms."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("export", "mobile_diffusion")
PAGE = ROOT / "docs" / "architecture.md"


def layers_of(page: str) -> dict[str, int]:
    """Room -> its layer, the top row of the table having the highest number."""
    table = page.split("<!-- layers -->")[1].split("<!-- /layers -->")[0]
    rows = [line.split("|")[2] for line in table.splitlines() if line.startswith("| ") and "`" in line]
    return {room: len(rows) - number for number, row in enumerate(rows) for room in re.findall(r"`([\w.]+)`", row)}


def room_of(module: str, layers: Mapping[str, int]) -> str | None:
    """The room with the longest name that holds the module; the packages' own names hold nothing but themselves."""
    rooms = [room for room in layers if module == room or ("." in room and module.startswith(f"{room}."))]
    return max(rooms, key=len, default=None)


def modules_of(root: Path) -> dict[str, Path]:
    """Name of every module of the two packages -> its file."""
    files = [path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))]
    names = (".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__") for path in files)
    return dict(zip(names, files, strict=True))


def imports_of(source: str, modules: Mapping[str, object]) -> Iterator[tuple[int, str]]:
    """Line and module of every import of our own packages, those inside functions included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(f"line {node.lineno}: expected an absolute import")
        if isinstance(node, ast.ImportFrom) and node.module:
            whole = (f"{node.module}.{alias.name}" for alias in node.names)
            targets = [name if name in modules else node.module for name in whole]
        else:
            targets = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from ((node.lineno, name) for name in targets if name.split(".")[0] in PACKAGES)


def wrong_imports(sources: Mapping[str, str], layers: Mapping[str, int]) -> list[str]:
    """Every import that does not point to a lower row or stay in its room, and every module without a room."""
    found = []
    for module, source in sources.items():
        here = room_of(module, layers)
        if here is None:
            found.append(f"{module}: expected a room in {PAGE.name}, got none; add it to the table")
            continue
        if module in PACKAGES:  # public names are handed on from wherever they are
            continue
        for line, target in imports_of(source, sources):
            there = room_of(target, layers)
            if there is None or (there != here and layers[there] >= layers[here]):
                found.append(f"{module}:{line} imports {target}: expected a room below {here}")
    return found


def test_imports_run_one_way() -> None:
    modules = modules_of(ROOT)
    sources = {name: path.read_text(encoding="utf-8") for name, path in modules.items()}
    assert wrong_imports(sources, layers_of(PAGE.read_text(encoding="utf-8"))) == []


def test_every_room_exists() -> None:
    modules = modules_of(ROOT)
    assert [room for room in layers_of(PAGE.read_text(encoding="utf-8")) if room not in modules] == []


@pytest.mark.parametrize(
    ("module", "source", "problem"),
    [
        ("export.parity.gates", "from export.cli.main import main", "below export.parity"),
        ("export.onnx.lower", "def f():\n    from export.coreml import lower", "below export.onnx"),
        ("mobile_diffusion.unet", "import export.stages", "below mobile_diffusion.unet"),
        ("mobile_diffusion.unet", "from mobile_diffusion import drawing", "below mobile_diffusion.unet"),
        ("export.novelty.thing", "", "expected a room"),
    ],
)
def test_what_points_up_is_found(module: str, source: str, problem: str) -> None:
    layers = layers_of(PAGE.read_text(encoding="utf-8"))
    others = dict.fromkeys(("export.cli.main", "export.coreml.lower", "export.stages", "mobile_diffusion.drawing"), "")
    (found,) = wrong_imports({**others, module: source}, layers)
    assert problem in found


def test_what_points_down_is_not() -> None:
    layers = layers_of(PAGE.read_text(encoding="utf-8"))
    assert wrong_imports({"export.cli.main": "import export.job.run", "export.job.run": "import json"}, layers) == []
