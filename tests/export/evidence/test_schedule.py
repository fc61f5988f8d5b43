"""The columns that a program must have are the tables of the module that is lowered, for every kind of solver."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from export.denoise import LinearUpdate
from export.evidence.schedule import check_order, program_columns
from export.job.manifest_description import describe_schedule
from mobile_diffusion.config import SOLVERS
from mobile_diffusion.schedule import step_table
from tests.tiny_models import TINY


@pytest.mark.parametrize("solver", SOLVERS)
def test_columns_are_the_buffers_of_the_module(solver: str) -> None:
    schedule = dataclasses.replace(TINY.schedule, solver=solver, steps=4)
    config = dataclasses.replace(TINY, schedule=schedule)
    entry, table = describe_schedule(config), step_table(schedule)
    columns = program_columns(entry)
    buffers = dict(LinearUpdate(table).named_buffers())
    scales = {"inputs"} & set(columns)
    assert len(columns) == len(buffers) + len(scales)
    for name, buffer in buffers.items():
        assert any(torch.equal(torch.tensor(column).float(), buffer) for column in columns.values()), name
    assert bool(scales) == bool((np.array(table.inputs) != 1).any())
    assert list(check_order(entry)) == []
