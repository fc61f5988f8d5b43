"""`mobile-diffusion serve`: a page that draws with a bundle in a browser, and the bundle's files for phones."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from export.cli.parameters import BundleFolder
from mobile_diffusion.cli.terminal import say

PORT = 8765


def serve(
    bundle: BundleFolder,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = PORT,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. Only this computer reaches the default; 0.0.0.0 is for phones in the same "
            "network, and puts a token into the address."
        ),
    ] = "127.0.0.1",
) -> None:
    """Show a page that draws with a bundle in the browser, and offer the bundle to phones.

    The bundle needs ONNX models to draw in a browser: export web has them, and export android with --runtime onnx. A
    phone downloads any bundle as one zip file, and resumes where it stopped. Ctrl-C ends it.

    Example:

        mobile-diffusion serve build/web
    """
    from export.bundle.bundle import open_bundle
    from export.serving.address import place, qr_code
    from export.serving.archive import write_archive
    from export.serving.content import ARCHIVE, content_of
    from export.serving.server import FileServer

    opened = open_bundle(bundle)
    with tempfile.TemporaryDirectory(prefix="mobile-diffusion-") as folder:
        archive = Path(folder) / ARCHIVE
        write_archive(opened, archive)
        content = content_of(opened, archive)
        with FileServer(place(host, port), content) as server:
            where = server.place
            if all(runtime.name != "onnx" for runtime in opened.manifest.runtimes):
                say("This bundle has no ONNX models: phones can download it, and a browser cannot draw with it.")
            say(f"page:    {where.address}")
            say(f"bundle:  {where.address}{ARCHIVE}")
            say(f"SHA-256: {content[ARCHIVE].sha256}")
            if not where.is_loopback:
                for line in qr_code(where.address):
                    say(line)
            say("Ctrl-C ends it.")
            with _ends_by_signal():
                server.serve_forever()
    say("ended")


@contextmanager
def _ends_by_signal() -> Iterator[None]:
    """Take an interruption for the end that the user wants, not for one in the middle of work (guard.py)."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    except KeyboardInterrupt:
        return
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
