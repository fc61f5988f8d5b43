"""`python -m export`: from a checkpoint to the bundles of two phones, and checks of a bundle."""

from __future__ import annotations

import typer

from export.cli import guard
from export.cli.bench import bench
from export.cli.export import android, ios
from export.cli.verify import verify

app = typer.Typer(
    name="export",
    help="Export a checkpoint to a phone, and check what was exported.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (ios, android, verify, bench):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    guard.run(lambda: app(prog_name="python -m export"))


if __name__ == "__main__":
    main()
