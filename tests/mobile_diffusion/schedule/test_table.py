"""What a step table is, and what it refuses to be."""

from __future__ import annotations

import dataclasses
import math

import pytest

from mobile_diffusion.errors import ConfigError
from mobile_diffusion.schedule import StepTable

PLAIN = StepTable((999.0, 499.0), (1.0, 1.0), (((0.5, 0.5),), ((1.0, 0.0),)), (0.0, 0.0), (0.1, 0.7), (0.9, 0.7))


def test_a_table_of_one_row_has_no_memory() -> None:
    assert (len(PLAIN), PLAIN.memory, PLAIN.stochastic) == (2, 0, False)


def test_memory_is_the_rows_behind_the_first_and_noise_makes_it_stochastic() -> None:
    matrix = ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0))
    table = dataclasses.replace(PLAIN, update=(matrix, matrix), noise=(0.5, 0.0))
    assert (table.memory, table.stochastic) == (1, True)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", ["timesteps", "inputs", "noise", "alphas", "sigmas"])
def test_a_column_that_is_not_finite_is_refused(column: str, value: float) -> None:
    with pytest.raises(ConfigError, match="not finite"):
        dataclasses.replace(PLAIN, **{column: (0.5, value)})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_update_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match="not finite"):
        dataclasses.replace(PLAIN, update=(((0.5, 0.5),), ((1.0, value),)))


@pytest.mark.parametrize("column", ["timesteps", "inputs", "update", "noise", "alphas", "sigmas"])
def test_columns_of_unequal_length_are_refused(column: str) -> None:
    with pytest.raises(ConfigError, match=r"columns of one length, at least 1, got lengths \[1, 2\]"):
        dataclasses.replace(PLAIN, **{column: getattr(PLAIN, column)[:1]})


def test_a_table_without_steps_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        StepTable((), (), (), (), (), ())


@pytest.mark.parametrize("second", [((1.0, 2.0, 3.0), (4.0, 5.0, 6.0)), ((1.0,),), ()])
def test_matrices_of_unequal_shape_are_refused(second: tuple[tuple[float, ...], ...]) -> None:
    with pytest.raises(ConfigError, match="matrices of 1 rows and 2 columns"):
        dataclasses.replace(PLAIN, update=(((0.5, 0.5),), second))
