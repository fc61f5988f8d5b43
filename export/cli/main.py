"""The `mobile-diffusion` command: drawing, exporting and training in one application.

It lives on the export side because only this side may import both.  Commands of other folders are mounted
when they can be imported; a part that is not installed leaves a command that names the extra to install.
"""

from __future__ import annotations

from importlib import import_module

import typer

from export.cli import guard
from export.cli.bench import bench
from export.cli.demo import demo
from export.cli.export import android, ios
from export.cli.generate import generate
from export.cli.verify import verify
from mobile_diffusion.errors import ConfigError

MOUNTED = {"data": "mobile_diffusion.cli.data", "train": "mobile_diffusion.cli.train"}
"""Groups of commands that are written elsewhere: each module has an `app`."""


def build_app() -> typer.Typer:
    """The whole application."""
    app = typer.Typer(
        name="mobile-diffusion",
        help="Text-to-image diffusion models for phones: draw, train, export, check.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for command in (generate, demo, bench, verify):
        app.command()(command)
    exports = typer.Typer(
        help="Export a checkpoint to a phone; the same as `python -m export`.", no_args_is_help=True
    )
    for command in (ios, android):
        exports.command()(command)
    app.add_typer(exports, name="export")
    for name, module in MOUNTED.items():
        app.add_typer(_import_app(name, module), name=name)
    return app


def _import_app(name: str, module: str) -> typer.Typer:
    try:
        return import_module(module).app  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        return _absent(name, error.name or module)


def _absent(name: str, package: str) -> typer.Typer:
    """A group whose every use says what to install."""
    app = typer.Typer(help=f"Not installed: needs {package}.", invoke_without_command=True)

    @app.callback(context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
    def refuse() -> None:
        raise ConfigError(
            f"{name}: expected the package {package}, got none; pip install 'mobile-diffusion[train]'"
        )

    return app


def main() -> None:
    """Run the command line."""
    guard.run(lambda: build_app()(prog_name="mobile-diffusion"))


if __name__ == "__main__":
    main()
