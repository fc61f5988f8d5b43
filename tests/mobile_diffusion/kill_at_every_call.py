"""Writes an output again and again, killed in front of one more system call each time, and prints what was left.

    LD_PRELOAD=disturb.so python kill_at_every_call.py file|folder|checkpoint OUT CHECKPOINT

Every writing is a fork of this process, so that the library (benchmarks/robustness/disturb.c) counts its calls from one
and torch is imported once.  Prints a JSON list with a row for every kill: what the output said
in front of it, after it, and after the next writing, and what then stood beside it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from mobile_diffusion.staging import staged_file, staged_folder

Write = Callable[[Path, str], None]
Read = Callable[[Path], str]


def write_folder(out: Path, value: str) -> None:
    """A folder with two files that say `value`."""
    with staged_folder(out, replace=lambda path: None) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "value").write_text(value)
        (folder / "value").write_text(value)


def read_folder(out: Path) -> str:
    """What both files say."""
    (value,) = {(out / "value").read_text(), (out / "inner" / "value").read_text()}
    return value


def write_file(out: Path, value: str) -> None:
    """A file that says `value`."""
    with staged_file(out) as scratch:
        scratch.write_text(value)


def checkpoints(source: Path) -> tuple[Write, Read]:
    """A checkpoint whose name is `value`; it is read with all of its weights."""
    from mobile_diffusion.checkpoint import open_checkpoint, save_checkpoint

    model = open_checkpoint(source)

    def write(out: Path, value: str) -> None:
        save_checkpoint(dataclasses.replace(model, config=dataclasses.replace(model.config, name=value)), out, True)

    return write, lambda out: open_checkpoint(out).config.name


def forked(work: Callable[[], None], folder: Path, kill_at: int = 0) -> bool:
    """Run `work` in a process of its own, killed in front of a call in `folder` unless that is 0; whether it ended."""
    child = os.fork()
    if child == 0:
        os.environ |= {"UNDER": str(folder), "CALLS": "names", "HOW": "kill", "AT": str(kill_at)}
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status > 0:
        sys.exit("a writing failed that was not killed")
    return status == 0


def main() -> None:
    """Kill in front of the first call, the second, ... until a writing comes to its end."""
    kind, out = sys.argv[1], Path(sys.argv[2])
    write, read = {"folder": (write_folder, read_folder), "file": (write_file, Path.read_text)}.get(kind) or (
        checkpoints(Path(sys.argv[3]))
    )
    rows, kill_at, finished = [], 0, False
    while not finished:
        kill_at += 1
        forked(lambda: write(out, "old"), out.parent)
        before = read(out)
        finished = forked(lambda: write(out, "new"), out.parent, kill_at)
        between = read(out) if out.exists() else None
        forked(lambda: write(out, "newer"), out.parent)
        rows.append({"before": before, "between": between, "after": read(out), "names": os.listdir(out.parent)})
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
