"""Lowers one stage in its own process, so that its memory is returned to the system before the next stage.

The process opens the checkpoint again, with the same request, and loads one network.  It is killed if this process
stops waiting for it.
"""

from __future__ import annotations

import multiprocessing
import signal
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from export.job.calibration import StageSamples
from export.runtime import Runtime
from export.stages import build_stage
from export.targets import lower
from mobile_diffusion.checkpoint import Checkpoint, open_source
from mobile_diffusion.errors import ExportError, MobileDiffusionError
from mobile_diffusion.formats.open_options import OpenOptions


def lower_isolated(
    checkpoint: Checkpoint, runtime: Runtime, stage: str, bundle: Path, samples: StageSamples = ()
) -> str:
    """Write a stage's program into a bundle folder, as `targets.lower` does, in another process.

    `samples` are `ExportStage.samples`.

    Raises what the lowering raises, and `ExportError` when the process is killed (by a system without memory).
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    arguments = (theirs, checkpoint.request, checkpoint.options, runtime, stage, bundle, samples)
    process = context.Process(target=_work, args=arguments, daemon=True)
    process.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError:
        process.join()
        raise ExportError(
            f"{runtime.title}: expected a program for {stage}, got a process that ended with {process.exitcode}; "
            "if that is -9, the system had no memory left: close other programs or choose a smaller size; "
            "if it is -7, it may have had no room left on the disk"
        ) from None
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(answer, BaseException):
        raise answer
    return str(answer)


def _work(
    answers: Connection,
    request: Path | str,
    options: OpenOptions,
    runtime: Runtime,
    stage: str,
    bundle: Path,
    samples: StageSamples,
) -> None:
    """Runs in the other process: sends the path of the program, or the error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, too, and kills this process
    try:
        built = replace(build_stage(open_source(request, options), stage), samples=samples)
        answers.send(lower(runtime, built, bundle))
    except MobileDiffusionError as error:
        answers.send(error)
    finally:
        answers.close()
