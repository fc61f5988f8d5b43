"""`mobile-diffusion coreml combine`: several packages as the functions of one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from export.cli.display import progress_bar
from mobile_diffusion.cli.terminal import Json, show
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted

if TYPE_CHECKING:
    from export.coreml.combine import Combined

MEGA = 1_000_000


def combine(
    function: Annotated[list[str], typer.Option(help="A function, as NAME=PACKAGE. Give it at least twice.")],
    out: Annotated[Path, typer.Option(help="Package to write; must not exist.")],
    default: Annotated[
        str | None, typer.Option(help="Function for apps that name none. Default: the first one.")
    ] = None,
    json: Json = False,
) -> None:
    """Make one Core ML package (iOS 18) of several that share weights.

    They may be adapters of one model, or sizes of it. Equal weights are stored once. Whether a device loads the
    functions is unverified here.

    Example:

        mobile-diffusion coreml combine --function a=a.mlpackage --function b=b.mlpackage --out ab.mlpackage
    """
    from export.coreml.combine import combine_packages

    sources = parse_functions(function)
    with progress_bar() as progress:
        found = combine_packages(sources, out, default, progress)
    saved = found.source_bytes - found.weight_bytes
    end = (
        f"{out}: {found.weight_bytes / MEGA:.1f} MB of weights instead of {found.source_bytes / MEGA:.1f} MB "
        f"({saved / max(found.source_bytes, 1):.0%} saved), default function {found.default}"
    )
    show(json, found, combine_table(found), end)


def parse_functions(texts: Sequence[str]) -> dict[str, Path]:
    """Names and packages of "base=a.mlpackage"; raises `ConfigError` for a missing name and a name given twice."""
    sources: dict[str, Path] = {}
    for text in texts:
        name, sign, path = text.partition("=")
        if not sign or not name or not path:
            raise ConfigError(f"--function: expected NAME=PACKAGE, got {quoted(text)}")
        if name in sources:
            raise ConfigError(f"--function: expected every name once, got {quoted(name)} twice")
        sources[name] = Path(path)
    return sources


def combine_table(found: Combined) -> Table:
    """One row per function."""
    table = Table(title="Functions, and how many of their weights earlier functions had brought")
    for column in ("function", "records", "weights", "shared records", "shared", "of its weights"):
        table.add_column(column, justify="left" if column == "function" else "right")
    for share in found.functions:
        sizes = [f"{size / MEGA:.1f} MB" for size in (share.record_bytes, share.shared_bytes)]
        table.add_row(
            share.name, str(share.records), sizes[0], str(share.shared_records), sizes[1], f"{share.shared:.1%}"
        )
    return table
