"""`python -m export`: exports for phones and browsers, and checks of a bundle, as `mobile-diffusion` has them."""

from __future__ import annotations

from export.cli import guard
from export.cli.bench import bench
from export.cli.export import android, ios, web
from export.cli.verify import verify
from mobile_diffusion.cli.command_group import CommandGroup

app = CommandGroup("export", "Export a checkpoint to a phone or a browser, and check what was exported.")
for command in (ios, android, web, verify, bench):
    app.command()(command)


def main() -> None:
    """Run the command line."""
    guard.run(lambda: app(prog_name="python -m export"))


if __name__ == "__main__":
    main()
