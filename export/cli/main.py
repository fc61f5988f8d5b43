"""The `mobile-diffusion` command: drawing, exporting and training in one application.

It lives on the export side because only this side may import both.  Commands of other folders are mounted
when they can be imported; a part that is not installed leaves a command that names the extra to install.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import typer

from export.cli import coreml, device, guard
from export.cli.bench import bench
from export.cli.blocks import blocks
from export.cli.demo import demo
from export.cli.evaluate import evaluate
from export.cli.export import android, ios
from export.cli.generate import generate
from export.cli.milestones import stages
from export.cli.verify import verify
from mobile_diffusion.cli.inspect import inspect
from mobile_diffusion.cli.slim import slim
from mobile_diffusion.errors import ConfigError

MOUNTED = {"data": "mobile_diffusion.cli.data", "train": "mobile_diffusion.cli.train"}
"""Groups of commands that are written elsewhere and need an extra: each module has an `app`."""


def build_app() -> typer.Typer:
    """The whole application."""
    app = typer.Typer(
        name="mobile-diffusion",
        help="Text-to-image diffusion models for phones: draw, train, export, check.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    commands: tuple[Callable[..., None], ...] = (generate, inspect, slim, demo, bench, verify, evaluate, stages)
    for command in commands:
        app.command()(command)
    app.add_typer(_exports(), name="export")
    app.add_typer(coreml.app, name="coreml")
    app.add_typer(device.app, name="device")
    for name, module in MOUNTED.items():
        _mount(app, name, module)
    return app


def _exports() -> typer.Typer:
    exports = typer.Typer(help="Export a checkpoint to a phone, as `python -m export` does.", no_args_is_help=True)
    for command in (ios, android, blocks):
        exports.command()(command)
    return exports


def _mount(app: typer.Typer, name: str, module: str) -> None:
    """Add the commands of a module, or one that says what they need."""
    try:
        app.add_typer(import_module(module).app, name=name)
    except ModuleNotFoundError as error:
        package = error.name or module

        @app.command(name, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
        def refuse() -> None:
            """Not installed: pip install 'mobile-diffusion[train]'."""
            raise ConfigError(
                f"{name}: expected the package {package}, got none; pip install 'mobile-diffusion[train]'"
            )


def main() -> None:
    """Run the command line."""
    guard.run(lambda: build_app()(prog_name="mobile-diffusion"))


if __name__ == "__main__":
    main()
