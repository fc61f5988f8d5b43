"""Runs a command or a function in its own process and reports its time and its peak memory.

    python -m benchmarks.measuring.peak_memory -- mobile-diffusion export android CHECKPOINT --out DIR

The resident memory of the process and of all that it starts is added up every 20 ms.  Two peaks are reported: of
everything resident, mapped files included (what `top` shows), and of what cannot be dropped and read again, which is
what a machine must really have.  A figure is a lower bound: a peak shorter than the interval may be missed.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Annotated, Any

import psutil
import typer

from benchmarks.measuring.command_line import run_script

INTERVAL = 0.02
"""Seconds between two looks."""


@dataclass(frozen=True)
class Measured:
    """What one run took."""

    seconds: float
    """From start to end of the process, its imports included."""
    peak_bytes: int
    """Resident memory of the whole process tree, mapped files included."""
    private_bytes: int
    """The same without pages that are shared with files or other processes."""
    result: Any
    """Exit code of the command, or what the function returned."""


class Watch:
    """Looks at a process tree from a thread until `stop` is called."""

    def __init__(self, pid: int, interval: float = INTERVAL) -> None:
        self.peak = self.private = 0
        self._process, self._interval, self._done = psutil.Process(pid), interval, threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the watch; `peak` and `private` are final then."""
        self._done.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._done.wait(self._interval):
            resident, private = tree_memory(self._process)
            self.peak, self.private = max(self.peak, resident), max(self.private, private)


def tree_memory(process: psutil.Process) -> tuple[int, int]:
    """Bytes resident now in a process and its descendants: all of it, and without shared pages."""
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        return 0, 0
    counts = [_memory(member) for member in family]
    return sum(resident for resident, _ in counts), sum(private for _, private in counts)


def _memory(process: psutil.Process) -> tuple[int, int]:
    try:
        info = process.memory_info()
    except psutil.Error:  # it ended between two looks
        return 0, 0
    return info.rss, info.rss - getattr(info, "shared", 0)  # only Linux counts shared pages


def measure_command(command: Sequence[str], **options: Any) -> Measured:
    """Run a command (`options` go to `subprocess.Popen`); `result` is its exit code, which may be a failure's."""
    start = time.perf_counter()
    with subprocess.Popen(command, **options) as process:
        watch = Watch(process.pid)
        code = process.wait()
        seconds = time.perf_counter() - start
        watch.stop()
    return Measured(seconds, watch.peak, watch.private, code)


def measure_call(function: Callable[..., Any], *args: Any) -> Measured:
    """Call a module's function in a fresh interpreter; `result` is what it returned.

    Raises `RuntimeError` with the child's traceback if it raised, or its exit code if it died.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(sender, function, args))
    start = time.perf_counter()
    process.start()
    sender.close()
    watch = Watch(process.pid or 0)
    try:
        failed, result = receiver.recv()
    except EOFError:
        failed, result = True, "it died"
    process.join()
    seconds = time.perf_counter() - start
    watch.stop()
    if failed:
        raise RuntimeError(f"{function.__name__}: exit code {process.exitcode}: {result}")
    return Measured(seconds, watch.peak, watch.private, result)


def _call(sender: Connection, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    try:
        answer = (False, function(*args))
    except BaseException:  # whatever it is, the parent tells it
        answer = (True, traceback.format_exc())
    sender.send(answer)
    sender.close()


def main(command: Annotated[list[str], typer.Argument(help="The command, after --.")]) -> None:
    """Run the command, and print the figures as JSON; ends as the command ended."""
    measured = measure_command(command)
    typer.echo(json.dumps(asdict(measured)), err=True)
    raise typer.Exit(measured.result)


if __name__ == "__main__":
    run_script(main, __doc__)
