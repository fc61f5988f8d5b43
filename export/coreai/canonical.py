"""An asset without random names of functions and without a date.

coreai-core ends the names of a program's inner functions with random letters, from the system's generator, and writes
the time into metadata.json.  Names only have to differ within one program.  One thing stays random: the compiler names
every weight by a hash of its bytes that has another seed in every process, so two processes write different files.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from unittest.mock import patch

from export.coreai.asset import METADATA, read_metadata

NAMING = ("coreai.authoring.func", "coreai.authoring.graph_builder", "coreai.authoring.metal")
"""Modules of coreai-core 1.0.0b3 that take letters with `choice`."""
DATE, NO_DATE = "creationDate", "19700101T000000Z"
"""The time's field, and what stands there: the asset has no date, but its format has one."""


@contextmanager
def repeatable_names() -> Iterator[None]:
    """Let coreai-core take the same letters in the same order in every process, inside the block."""
    letters = random.Random(0)
    patches = [patch.object(import_module(module), "choice", letters.choice) for module in NAMING]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in patches:
            each.stop()


def take_date(path: Path) -> None:
    """Write an asset's metadata without its date, in the order of its keys."""
    values = dict(sorted((read_metadata(path) | {DATE: NO_DATE}).items()))
    (path / METADATA).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
