"""No message repeats more than 200 characters of a value, and every message takes the one function for it."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.errors import MobileDiffusionError
from mobile_diffusion.quoting import LIMIT, quoted, shortened

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for package in ("mobile_diffusion", "export") for path in (ROOT / package).rglob("*.py"))


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, b"x" * 10**6, list(range(10**6)), {n: n for n in range(1000)}, 10**5000, nested(10**5)],
    ids=["text", "bytes", "list", "dict", "integer", "nested"],
)
def test_at_most_200_characters_of_a_value(value: object) -> None:
    assert 0 < len(quoted(value)) <= LIMIT == 200


def test_short_values_are_shown_whole() -> None:
    assert quoted("a\nb") == r"'a\nb'" and quoted([1, None]) == "[1, None]" and quoted(1e12) == "1000000000000.0"
    assert shortened("two\n lines") == "two lines"
    assert shortened("x" * 201) == "x" * 197 + "..." and shortened("x" * 200) == "x" * 200


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_messages_take_the_function(module: Path) -> None:
    """`{value!r}` in a message writes the whole value."""
    whole = [
        node.lineno
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.FormattedValue) and node.conversion == ord("r") and not _is_constant(node.value)
    ]
    assert not whole, f"write quoted(value) instead of value!r in lines {whole}"


def _is_constant(value: ast.expr) -> bool:
    """Whether the value is one of our constants, such as a version or the module's name."""
    return isinstance(value, ast.Name) and (value.id.isupper() or value.id == "__name__" or value.id == "name")


LONG = "0123456789" * 10**4


@pytest.mark.parametrize("field", ["name", "tokenizer", "unet", "text", "schedule", "height", "format", "a long name"])
def test_a_long_value_in_our_format(folder: Path, field: str) -> None:
    file = folder / "model.json"
    name = LONG if field == "a long name" else field
    file.write_text(json.dumps({**json.loads(file.read_text()), name: [LONG] if field == "name" else LONG}))
    refused(folder)


def refused(path: Path) -> None:
    """Opening it raises one line, which repeats at most `LIMIT` characters of LONG at a time."""
    with pytest.raises(MobileDiffusionError) as caught:
        open_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message and LONG[: LIMIT + 1] not in message
