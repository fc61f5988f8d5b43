"""`mobile-diffusion device`: copy a bundle to a phone, measure it there, compare it with PyTorch there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from export.cli.departures import BROKEN
from export.cli.display import progress_bar
from export.cli.parameters import BundleFolder
from mobile_diffusion.cli.command_group import CommandGroup
from mobile_diffusion.cli.terminal import Json, results, show
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted

if TYPE_CHECKING:
    from export.bundle.bundle import Bundle
    from export.device.phone import Phone

app = CommandGroup(help="Put a bundle on a connected phone, measure it there, and compare it with PyTorch there.")
Name = Annotated[str | None, typer.Option(help="Name of the model on the phone. Default: its own name.")]
Device = Annotated[
    str | None, typer.Option(help="Serial number (adb devices) or identifier (xcrun devicectl list devices).")
]
Threads = Annotated[int, typer.Option(min=1, max=256, help="Threads of the phone's runtime.")]
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
    threads: Threads = 4,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the phone.")] = 600.0,
    out: Out = None,
    json: Json = False,
) -> None:
    """Run the app's benchmark on the phone, and show its times beside this computer's.

    The bundle must be on the phone: `mobile-diffusion device push` copies it.

    Example:

        mobile-diffusion device bench build/android --runs 20
    """
    from export.device.phone import BENCHMARK, check_name, wait

    opened = _open(bundle)
    chosen = check_name(name or opened.manifest.model.name)
    with progress_bar() as progress:
        phone = _find(opened, device)
        progress("starting the app", 0.1)
        phone.start(BENCHMARK, chosen, threads, runs)
        progress("the phone is measuring", 0.2)
        text = wait(phone, BENCHMARK, chosen, timeout)
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
    _show(opened, phones.pull(_find(opened, device), phones.BENCHMARK, chosen), out, json)


@app.command()
def verify(
    bundle: BundleFolder,
    name: Name = None,
    device: Device = None,
    threads: Threads = 4,
    timeout: Annotated[float, typer.Option(min=1, help="Seconds to wait for the phone.")] = 1800.0,
    out: Out = None,
    json: Json = False,
) -> None:
    """Compare every stage, step and picture on the phone with PyTorch's, by every compute unit it has.

    The app draws the bundle's golden drawings and sends its distances back. It then draws with the first unit that
    keeps every limit. Ends with status 2 when none does. The bundle must be on the phone: `mobile-diffusion device
    push` copies it.

    Example:

        mobile-diffusion device verify build/android --json
    """
    from export.device.phone import GOLDEN, check_name, wait

    opened = _open(bundle)
    chosen = check_name(name or opened.manifest.model.name)
    with progress_bar() as progress:
        phone = _find(opened, device)
        progress("starting the app", 0.1)
        phone.start(GOLDEN, chosen, threads)
        progress("the phone is drawing", 0.2)
        text = wait(phone, GOLDEN, chosen, timeout)
        progress("compared", 1.0)
    _show_golden(opened, text, out, json)


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


def _show_golden(bundle: Bundle, text: str, out: Path | None, json: bool) -> None:
    """Write the phone's JSON to `out`, print it beside this computer's figures, and end with the verdict."""
    from export.device.golden_record import METRICS, SCHEMA_VERSION, parse_record
    from export.report.golden_table import golden_lines, golden_table
    from mobile_diffusion.staging import write_bytes

    record, parity = parse_record(text, "the phone"), bundle.manifest.parity
    if out is not None:
        write_bytes(text.encode() + b"\n", out)
    runtimes = {unit.runtime for unit in record.units}
    computer = [entry for entry in parity if entry.runtime in runtimes and entry.metric in METRICS]
    passed = record.passing(parity)
    figures = {
        "schema_version": SCHEMA_VERSION,
        "model": bundle.manifest.model.name,
        "phone": record,
        "computer": computer,
        "passed": passed,
    }
    show(json, figures, golden_table(record, computer), *golden_lines(record, passed))
    if not passed:
        raise typer.Exit(BROKEN)
