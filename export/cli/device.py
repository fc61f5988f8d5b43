"""`mobile-diffusion device`: copy a bundle to a phone, run its benchmark there, fetch the times."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.cli.display import progress_bar
from export.cli.parameters import BundleFolder
from mobile_diffusion.cli.command_group import CommandGroup
from mobile_diffusion.cli.terminal import Json, results, show
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted

if TYPE_CHECKING:
    from export.bundle.bundle import Bundle
    from export.device.phone import Phone

app = CommandGroup(help="Put a bundle on a connected phone and measure it there.")
Name = Annotated[str | None, typer.Option(help="Name of the model on the phone. Default: its own name.")]
Device = Annotated[
    str | None, typer.Option(help="Serial number (adb devices) or identifier (xcrun devicectl list devices).")
]
Out = Annotated[Path | None, typer.Option(help="Also write the phone's JSON to this file.")]


@app.command()
def push(bundle: BundleFolder, name: Name = None, device: Device = None) -> None:
    """Copy a bundle into the sample app on the phone, and check every file there.

    Android phones need adb and the app of apps/android. iPhones need a Mac with Xcode and the app of apps/ios.

    Example:

        mobile-diffusion device push build/android
    """
    from export.device.phone import check_name

    opened = _open(bundle)
    chosen = check_name(name or opened.manifest.model.name)
    with progress_bar() as progress:
        phone = _find(opened, device)
        phone.send(bundle, chosen, progress)
        progress("done", 1.0)
    results().print(f"{bundle}: on the phone as {chosen}", soft_wrap=True)


@app.command()
def bench(
    bundle: BundleFolder,
    name: Name = None,
    device: Device = None,
    runs: Annotated[int, typer.Option(min=1, max=10_000, help="Timed calls per stage.")] = 10,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads of the phone's runtime.")] = 4,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the phone.")] = 600.0,
    out: Out = None,
    json: Json = False,
) -> None:
    """Run the app's benchmark on the phone, and show its times beside this computer's.

    The bundle must be on the phone: `mobile-diffusion device push` copies it.

    Example:

        mobile-diffusion device bench build/android --runs 20
    """
    from export.device.phone import check_name, wait

    opened = _open(bundle)
    chosen = check_name(name or opened.manifest.model.name)
    with progress_bar() as progress:
        phone = _find(opened, device)
        progress("starting the app", 0.1)
        phone.start(chosen, runs, threads)
        progress("the phone is measuring", 0.2)
        text = wait(phone, chosen, timeout)
        progress("measured", 1.0)
    _show(opened, text, out, json)


@app.command()
def pull(bundle: BundleFolder, name: Name = None, device: Device = None, out: Out = None, json: Json = False) -> None:
    """Fetch the times of the last benchmark, even if it was started on the phone's screen.

    Example:

        mobile-diffusion device pull build/android --out phone.json
    """
    from export.device import phone as phones

    opened = _open(bundle)
    chosen = phones.check_name(name or opened.manifest.model.name)
    _show(opened, phones.pull(_find(opened, device), chosen), out, json)


def _open(bundle: Path) -> Bundle:
    from export.bundle.bundle import open_bundle

    return open_bundle(bundle, verify=False)


def _find(bundle: Bundle, device: str | None) -> Phone:
    """The connected phone of the bundle's platform; raises `ConfigError` for a bundle of no phone."""
    from export.device.android import AndroidPhone
    from export.device.iphone import IPhone

    target = bundle.manifest.target
    if target not in ("android", "ios"):
        raise ConfigError(
            f"{bundle.path}: expected a bundle for android or ios, got {quoted(target)}; open it in a browser: "
            "mobile-diffusion serve"
        )
    return AndroidPhone.find(device) if bundle.manifest.target == "android" else IPhone.find(device)


def _show(bundle: Bundle, text: str, out: Path | None, json: bool) -> None:
    """Write the phone's JSON to `out`, and print it beside the bundle's own times."""
    from export.job.page import LATENCY_FILE
    from export.latency.reading import parse_latency, read_latency
    from export.report.device_report import device_table
    from mobile_diffusion.staging import write_bytes

    phone = parse_latency(text, "the phone")
    if out is not None:
        write_bytes(text.encode() + b"\n", out)
    computer = read_latency(bundle.path / LATENCY_FILE)
    figures = {"phone": phone.to_dict(), "computer": computer.to_dict()}
    show(json, figures, device_table(phone, computer, bundle.settings().calls))
