"""Lowers a stage to an ExecuTorch program for an iPhone: `<stage>.pte`, all of it in one delegate of Apple's.

The delegate's program is made and checked by the backend of that runtime.  `<stage>.json` is written next to the .pte,
as for Android: a .pte stores the order of its inputs, but not their names.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from export.coreai import lower as coreai_lowering
from export.coreml import produce
from export.coreml.options import CoreMLOptions
from export.delegates import coreai, coreml
from export.delegates.options import DelegateOptions
from export.delegates.read import read_program
from export.delegates.write import write_program
from export.executorch.signature import PROGRAM, Delegation, write_signature
from export.stages import ExportStage


def lower(stage: ExportStage, folder: Path, options: DelegateOptions | None = None) -> str:
    """Write `<stage>.pte` and `<stage>.json` into `folder`; returns the path of the program relative to `folder`.

    Raises `ExportError` if the delegate's program cannot be made, or the file holds more or less than one delegate.
    """
    chosen = DelegateOptions() if options is None else options
    program = chosen.program
    path = folder / f"{stage.name}{PROGRAM}"
    try:
        with tempfile.TemporaryDirectory(prefix="delegate-", dir=folder) as work:
            if isinstance(program, CoreMLOptions):
                package = Path(work) / produce.lower(stage, Path(work), program)
                write_program(path, stage, coreml.BACKEND, coreml.pack(package), coreml.settings(program))
            else:
                asset = Path(work) / coreai_lowering.lower(stage, Path(work), program)
                write_program(path, stage, coreai.BACKEND, coreai.pack(asset))
        delegate = read_program(path, stage.name)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    write_signature(path, stage, Delegation(1, {}, delegate.planned_bytes), backend=delegate.backend)
    return path.name
