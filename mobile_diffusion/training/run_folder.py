"""The folder of a run: its names, its settings for the record, and what an earlier process may have left there.

RUN/settings.json      settings, and hashes of networks that a method depends on; a run resumes only with these
RUN/state.safetensors  everything needed to resume at the next step (state.py), or
RUN/state-000000400/   the same for a sharded network (sharded_state.py)
RUN/curve.jsonl        one row per `log_every` steps (curve.py)
RUN/sheet-000400.png   samples
RUN/inputs.safetensors, RUN/latents.safetensors   what was encoded or drawn before training, for the next start
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from mobile_diffusion import staging
from mobile_diffusion.config_json import from_dict, to_dict
from mobile_diffusion.errors import ConfigError, TrainingError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.staging import is_full, write_bytes
from mobile_diffusion.strict_json import parse_json
from mobile_diffusion.training.sharded_state import SCRATCH, load_sharded, load_sharded_average, newest_state
from mobile_diffusion.training.state import TrainState, load_average, load_state

LOGGER = logging.getLogger(__name__)
STATE, SETTINGS = "state.safetensors", "settings.json"
LEFTOVERS = (".*.tmp", SCRATCH)
"""Names of temporary files of earlier versions, and of a sharded state; those of staging.py are known there."""


def has_state(run: Path) -> bool:
    """Whether the folder holds a state to resume from."""
    return newest_state(run) is not None or (run / STATE).exists()


def load_run_state(state: TrainState, run: Path) -> None:
    """Fill `state` from the run; raises `TrainingError` for a damaged state or one of another module."""
    folder = newest_state(run)
    if folder is not None:
        load_sharded(state, folder)
    else:
        load_state(state, run / STATE)


def load_run_average(module: nn.Module, run: Path) -> None:
    """Give `module` the averaged weights of a run, sharded or not; raises `TrainingError` when they do not fit."""
    folder = newest_state(run)
    if folder is not None:
        load_sharded_average(module, folder)
    else:
        load_average(module, run / STATE)


def check_record(settings: object, run: Path) -> None:
    """Raise `TrainingError` unless `settings.json` says that the run has these settings.

    A field that the file does not have yet counts as its default.
    """
    path, fix = run / SETTINGS, "restore it, or choose another --run"
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TrainingError(f"{path}: expected the settings of the run, got no file; {fix}") from None
    except (OSError, ValueError) as error:
        reason = error if path.is_file() and path.stat().st_size else "an empty file"
        raise TrainingError(f"{path}: expected the settings of the run, got {reason}; {fix}") from None
    try:
        found = from_dict(type(settings), values)
    except ConfigError as error:
        raise TrainingError(f"{path}: expected settings of this method, got {error}; choose another --run") from None
    if found != settings:
        field, began, got = _first_difference(to_dict(found), to_dict(settings))
        raise TrainingError(
            f"{run}: expected the settings and networks that the run began with, "
            f"{field} = {quoted(began)}, got {quoted(got)}; "
            "choose another --run"
        )


def write_record(settings: object, run: Path) -> None:
    """Write `settings.json`, whole or not at all."""
    with room_for(run / SETTINGS):
        write_bytes(json.dumps(to_dict(settings), indent=1).encode(), run / SETTINGS)


def _first_difference(found: Any, given: Any, name: str = "") -> tuple[str, Any, Any]:
    """Dotted name, and both values, of the first field that differs."""
    if isinstance(found, dict) and isinstance(given, dict):
        for key in found:
            if found[key] != given[key]:
                return _first_difference(found[key], given[key], f"{name}.{key}".lstrip("."))
    return name, found, given


def remove_leftovers(folder: Path) -> None:
    """Remove half-written files and states of processes that were killed; call it while no process trains there."""
    staging.remove_leftovers(folder)
    for path in [hidden for pattern in LEFTOVERS for hidden in folder.glob(pattern)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        LOGGER.info("removed %s, left by a process that was killed", path)


@contextmanager
def kept_from_others(run: Path) -> Iterator[None]:
    """Let no other process train in the folder until the block ends; raises `TrainingError` while one does."""
    descriptor = os.open(run, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(
                f"{run}: expected a run that no other process trains, got one that does; wait, or choose another --run"
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Raise `TrainingError` in place of whatever a library raises when the disk is full while `path` is written."""
    try:
        yield
    except Exception as error:
        if not is_full(error, path.parent):
            raise
        raise TrainingError(
            f"{path}: expected room on the disk, got a full disk; make room and start again, the run resumes"
        ) from error
