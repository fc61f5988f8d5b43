"""How long commands take alone, and beside one and three other busy processes, by how their threads wait.

    mobile-diffusion export android assets/emoji --out build/android
    python -m benchmarks.machine.busy --bundle build/android   # about 10 minutes

Every command runs in a process of its own, with two threads, beside processes that multiply matrices on two threads
each without a pause, as a training does.  `spin` is what the libraries do when nobody tells them how to wait: OpenMP
and ONNX Runtime keep a waiting thread busy.  `sleep` is what every command of this project sets
(mobile_diffusion/waiting.py).  Both are measured in turns; the median of the rounds is reported.  Results go to
benchmarks/results/busy.json.
"""

from __future__ import annotations

import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from benchmarks.measuring.command_line import run_script
from benchmarks.measuring.results import conditions, write_result
from benchmarks.paths import RESULTS, ROOT

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "busy.json"
OTHERS = (0, 1, 3)
POLICIES = {
    "spin": {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "300000"},  # libgomp's own count when nothing is set
    "sleep": {},
}
SET = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS")
"""Left out of the environment, so that only the policy sets them."""
BUSY = (
    "import torch\ntorch.set_num_threads(2)\na = torch.randn(512, 512)\nprint('ready', flush=True)\nwhile True: a @ a\n"
)


@dataclass(frozen=True)
class Row:
    """One command under one policy."""

    command: str
    policy: str
    others: int
    """Busy processes beside it."""
    at_once: int
    """How many of the command ran at the same time; the time is until the last one ended."""
    seconds: float
    slowest: float
    """The longest of the rounds."""


def main(
    bundle: Annotated[Path, typer.Option(help="The android bundle, with ONNX.")] = ROOT / "build" / "android",
    rounds: Annotated[int, typer.Option(min=1, help="How often each is measured.")] = 3,
    exports: Annotated[bool, typer.Option(help="Also measure exports, which take minutes.")] = True,
) -> None:
    """Measure and write the result."""
    with TemporaryDirectory() as work:
        rows = list(_rows(_commands(bundle, Path(work)), OTHERS, 1, rounds))
        if exports:
            export = {
                "export android": ["export", "android", "assets/emoji", "--runtime", "onnx", "--out", f"{work}/out-%"]
            }
            rows += [*_rows(export, (0,), 1, rounds), *_rows(export, (0,), 2, rounds)]
    write_result(RESULT, {"conditions": conditions(2, rounds=rounds), "rows": [asdict(row) for row in rows]})


def _commands(bundle: Path, work: Path) -> dict[str, list[str]]:
    picture = ["--seed", "1", "-o", f"{work}/%.png", "a red apple"]
    return {
        "generate, PyTorch": ["generate", *picture],
        "generate, ExecuTorch": ["generate", "--bundle", str(bundle), "--runtime", "xnnpack", *picture],
        "generate, ONNX Runtime": ["generate", "--bundle", str(bundle), "--runtime", "onnx", *picture],
    }


def _rows(commands: Mapping[str, Sequence[str]], others: Sequence[int], at_once: int, rounds: int) -> Iterator[Row]:
    """The rows of some commands beside so many busy processes."""
    for count in others:
        with _busy(count):
            for name, command in commands.items():
                times: dict[str, list[float]] = {policy: [] for policy in POLICIES}
                for _ in range(rounds):
                    for policy in POLICIES:
                        times[policy].append(_timed(command, policy, at_once))
                for policy, found in times.items():
                    row = Row(name, policy, count, at_once, statistics.median(found), max(found))
                    LOGGER.info("%s", row)
                    yield row


def _timed(command: Sequence[str], policy: str, at_once: int) -> float:
    """Seconds until all have ended; `%` in an argument becomes the number of the process."""
    environment = {key: value for key, value in os.environ.items() if key not in SET} | POLICIES[policy]
    start = time.perf_counter()
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "export.cli.main", *(part.replace("%", str(number)) for part in command)],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for number in range(at_once)
    ]
    codes = [process.wait() for process in running]
    if any(codes):
        raise RuntimeError(f"{' '.join(command)} ended with {codes}")
    return time.perf_counter() - start


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """Beside so many processes with two busy threads each."""
    with ExitStack() as stack:
        for _ in range(count):
            process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, start_new_session=True)
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
        yield


if __name__ == "__main__":
    run_script(main, __doc__)
