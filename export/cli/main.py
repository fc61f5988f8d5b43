"""The `mobile-diffusion` command: drawing, exporting and training in one application.

It lives on the export side because only this side may import both.  Groups of other folders are added when they can be
imported; where a package is missing, a command in their place names the extra to install.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Annotated

import typer

from export.cli import coreai, coreml, device, guard, onnx
from export.cli.bench import bench
from export.cli.blocks import blocks
from export.cli.compare import compare
from export.cli.demo import demo
from export.cli.doctor import doctor
from export.cli.evaluate import evaluate
from export.cli.export import android, ios, web
from export.cli.export_adapter import adapter
from export.cli.generate import generate
from export.cli.milestones import milestones
from export.cli.serve import serve
from export.cli.verify import verify
from mobile_diffusion.cli.command_group import CommandGroup
from mobile_diffusion.cli.inspect import inspect
from mobile_diffusion.cli.slim import slim
from mobile_diffusion.errors import ConfigError

MOUNTED = {"data": "mobile_diffusion.cli.data", "train": "mobile_diffusion.cli.train"}
"""Groups that need an extra: each module has an `app`."""


def build_app() -> CommandGroup:
    """The whole application."""
    app = CommandGroup(
        "mobile-diffusion", "Text-to-image diffusion models for phones: draw, train, export, check.", completion=True
    )
    app.callback()(root)
    commands: tuple[Callable[..., None], ...] = (
        generate,
        inspect,
        slim,
        demo,
        bench,
        serve,
        verify,
        compare,
        evaluate,
        milestones,
        doctor,
    )
    for command in commands:
        app.command()(command)
    app.add_typer(_exports(), name="export")
    app.add_typer(coreml.app, name="coreml")
    app.add_typer(coreai.app, name="coreai")
    app.add_typer(onnx.app, name="onnx")
    app.add_typer(device.app, name="device")
    for name, module in MOUNTED.items():
        _mount(app, name, module)
    return app


def print_version(asked: bool) -> None:
    """Print the version of the installed package and exit, if it is asked for."""
    if asked:
        from importlib.metadata import version

        typer.echo(f"mobile-diffusion {version('mobile-diffusion')}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and exit.")
]


def root(version: Version = False) -> None:
    """Text-to-image diffusion models for phones: draw, train, export, check."""


def _exports() -> CommandGroup:
    exports = CommandGroup(help="Export a checkpoint to a phone or a browser.")
    for command in (ios, android, web, blocks, adapter):
        exports.command()(command)
    return exports


def _mount(app: CommandGroup, name: str, module: str) -> None:
    """Add the group of a module, or a command that says what it needs."""
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
