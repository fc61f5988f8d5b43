"""The schedule: do the tables of the manifest stand in the programs, and can its columns belong together?

A program has the update and the scales as constants that `step` indexes (`LinearUpdate`, `Denoise`), so these columns
are compared exactly, after rounding to float32.  Timesteps are only inside time embeddings, and alphas and sigmas in no
program; of them only the order can be seen here.  With the checkpoint, description.py compares every column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from export.bundle.manifest_parts import ScheduleEntry
from export.evidence.content import Contents
from export.evidence.difference import Difference

CHECK = "schedule"
PLACE = "manifest.json: schedule"


def check_schedule(schedule: ScheduleEntry, contents: Contents) -> list[Difference]:
    """Every difference between the manifest's schedule and the constants of the programs that were read."""
    wanted = program_columns(schedule)
    differences = list(check_order(schedule))
    for (runtime, stage), content in contents.read.items():
        if stage == "denoise":
            differences += _check_tables(runtime, wanted, content.tables)
    return differences


def program_columns(schedule: ScheduleEntry) -> dict[str, NDArray[np.float64]]:
    """The columns that a program has as constants, by their place in the manifest, (N,) each.

    The graph omits factors that are zero at every step, and input scales that are all one.
    """
    matrix = np.array(schedule.update)  # (N, K, K + 1)
    columns = {
        f"update[*][{row}][{column}]": matrix[:, row, column]
        for row in range(matrix.shape[1])
        for column in range(matrix.shape[2])
        if matrix[:, row, column].any()
    }
    if schedule.stochastic:
        columns["noise_factors"] = np.array(schedule.noise_factors)
    if any(value != 1 for value in schedule.inputs):
        columns["inputs"] = np.array(schedule.inputs)
    return columns


def check_order(schedule: ScheduleEntry) -> Iterator[Difference]:
    """Timesteps and noise go down and the picture's share up, within the steps of the training.

    Only the ends are compared: solvers of two evaluations per step go back and forth in between.
    """
    timesteps = np.array(schedule.timesteps)
    falling = {"timesteps": timesteps, "sigmas": np.array(schedule.sigmas), "alphas": -np.array(schedule.alphas)}
    for name, values in falling.items():
        if not values[0] >= values[-1]:
            yield Difference(CHECK, f"{PLACE}.{name}", "the noisiest first", str(np.abs(values).tolist()))
    if not (timesteps <= schedule.train_steps).all():
        yield Difference(CHECK, f"{PLACE}.timesteps", f"at most {schedule.train_steps}", str(timesteps.max()))


def _check_tables(
    runtime: str, wanted: dict[str, NDArray[np.float64]], tables: Sequence[NDArray[np.floating]]
) -> Iterator[Difference]:
    """Each column is a table of the program, and each table is a column; equal tables may have been joined."""
    for name, column in wanted.items():
        if not any(_same(column, table) for table in tables):
            got = "; ".join(str(table.tolist()) for table in tables) or "no table"
            expected = f"a table of denoise for {runtime}, {column.tolist()}"
            yield Difference(CHECK, f"{PLACE}.{name}", expected, got)
    for table in tables:
        if not any(_same(column, table) for column in wanted.values()):
            place = f"denoise for {runtime}"
            yield Difference(CHECK, place, "only tables of the manifest's schedule", str(table.tolist()))


def _same(column: NDArray[np.float64], table: NDArray[np.floating]) -> bool:
    """Whether a table has the column's values, in the table's own precision."""
    return column.shape == table.shape and np.array_equal(column.astype(table.dtype), table)
