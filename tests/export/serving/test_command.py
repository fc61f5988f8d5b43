"""`mobile-diffusion serve` as a process: what it prints, how it ends, and what it refuses."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.export.samples import write_sample

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
from pathlib import Path
from export.cli import guard, main
from export.serving import site
site.PACKAGE = Path(sys.argv.pop(1))
main.main()
"""
"""The command, with a page of its own."""
Serve = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_sample(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def serve(bundle: Path, tmp_path: Path) -> Iterator[Serve]:
    """Starts the command; what still runs is ended with the test."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("the page", encoding="utf-8")
    begun: list[subprocess.Popen[str]] = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-u", "-c", PROGRAM, site, "serve", bundle, *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        begun.append(subprocess.Popen(command, cwd=ROOT, text=True, env=environment, **pipes))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_where_it_is_sends_the_page_and_ends_quietly(
    number: signal.Signals, serve: Serve, tmp_path: Path
) -> None:
    process = serve("--port", "0")
    assert process.stdout is not None
    lines = []
    while not lines or not lines[-1].startswith("Ctrl-C"):
        lines.append(process.stdout.readline())
        assert lines[-1], "ended"
    (port,) = re.findall(r"page: +http://127\.0\.0\.1:(\d+)/\n", "".join(lines))
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=10)
    connection.request("GET", "/")
    assert connection.getresponse().read() == b"the page"
    process.send_signal(number)
    out, errors = process.communicate(timeout=20)
    assert (process.returncode, out, errors) == (0, "ended\n", "")
    assert not list(tmp_path.glob("mobile-diffusion-*"))


def test_other_devices_get_a_qr_code(serve: Serve) -> None:
    process = serve("--port", "0", "--host", "0.0.0.0")
    assert process.stdout is not None
    lines = list(iter(process.stdout.readline, "Ctrl-C ends it.\n"))
    (address,) = re.findall(r"page: +(http://\S+)\n", "".join(lines))
    assert re.fullmatch(r"http://[\d.]+:\d+/[\w-]{12}/", address)
    code = [line for line in lines if set(line) <= set(" █▀▄\n")]
    assert len(code) > 10 and len({len(line) for line in code}) == 1


def test_a_port_in_use_is_one_line(serve: Serve) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = serve("--port", str(taken.getsockname()[1]))
        out, errors = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "") and errors.count("\n") == 1
    assert errors.startswith("error: serve: expected to listen on 127.0.0.1, port ") and "--port" in errors
