"""Saved packages through the interpreter: whole stages against PyTorch, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from export.coreml.interpret import OPS, Program
from export.coreml.interpret.execute import rounded
from export.coreml.interpret.weights import Weight
from export.signatures import STAGES
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError

LIMIT_DB = 45.0
"""Half precision with random weights stands at 50 to 70 dB."""
PREDICTION_DB = 40.0
"""Of the network's part of `denoise`: guidance adds up the errors of two evaluations, 44 dB."""
Inputs = Callable[..., dict[str, np.ndarray]]
SaveProgram = Callable[..., Path]


@pytest.fixture(scope="module")
def programs(coreml_folder: Path) -> dict[str, Program]:
    return {stage: Program.open(coreml_folder / f"{stage}.mlpackage") for stage in STAGES}


def decibels(reference: np.ndarray, candidate: np.ndarray) -> float:
    """Signal to noise ratio in float64."""
    wanted = reference.astype(np.float64)
    assert wanted.std() > 1e-3, "a reference of about zero proves nothing"
    return float(10 * np.log10(np.square(wanted).sum() / np.square(candidate - wanted).sum()))


def reference(stage: ExportStage, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """What PyTorch computes."""
    with torch.inference_mode():
        output: torch.Tensor = stage.module(**{name: torch.from_numpy(value) for name, value in arrays.items()})
    return output.numpy()


def only(outputs: dict[str, np.ndarray]) -> np.ndarray:
    (value,) = outputs.values()
    return value


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_pytorchs(
    stage: str, programs: dict[str, Program], tiny_stages: Mapping[str, ExportStage], make_inputs: Inputs
) -> None:
    arrays = make_inputs(stage)
    wanted, got = reference(tiny_stages[stage], arrays), only(programs[stage].run(**arrays))
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
    assert decibels(wanted, got) > LIMIT_DB


@pytest.mark.parametrize("step", range(8))
def test_the_prediction_of_every_step_is_pytorchs(
    step: int, programs: dict[str, Program], tiny_stages: Mapping[str, ExportStage], make_inputs: Inputs
) -> None:
    """The network's part b m alone: the latents themselves pass through in float32 and would flatter it."""
    arrays, stage = make_inputs("denoise", step), tiny_stages["denoise"]
    kept = float(stage.module.get_buffer("update.m00")[step]) * arrays["latents"]
    wanted, got = reference(stage, arrays), only(programs["denoise"].run(**arrays))
    assert decibels(wanted - kept, got - kept) > PREDICTION_DB


@pytest.mark.parametrize("stage", STAGES)
def test_without_rounding_only_the_weights_differ(
    stage: str, programs: dict[str, Program], tiny_stages: Mapping[str, ExportStage], make_inputs: Inputs
) -> None:
    arrays = make_inputs(stage)
    wanted = reference(tiny_stages[stage], arrays)
    exact = dataclasses.replace(programs[stage], precision="float32")
    rounded = decibels(wanted, only(programs[stage].run(**arrays)))
    assert decibels(wanted, only(exact.run(**arrays))) > rounded


def test_a_run_leaves_the_program_as_it_was(programs: dict[str, Program], make_inputs: Inputs) -> None:
    arrays = make_inputs("denoise")
    first = only(programs["denoise"].run(**arrays))
    kept = first.copy()
    second = only(programs["denoise"].run(**make_inputs("denoise", 5)))
    np.testing.assert_array_equal(first, kept)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(only(programs["denoise"].run(**arrays)), kept)


def test_values_are_forgotten_after_their_last_use(programs: dict[str, Program]) -> None:
    for program in programs.values():
        (routine,) = program.routines
        alive, most = set(routine.input_slots.values()), 0
        for instruction in program.instructions:
            alive |= set(instruction.results)
            most = max(most, len(alive))
            alive -= set(instruction.last_uses)
        assert alive == set(routine.output_slots.values())
        assert most < 16 < len(program.instructions)


def test_large_weights_stay_in_their_file(save_program: SaveProgram) -> None:
    from coremltools.converters.mil import Builder

    weight = np.random.default_rng(3).standard_normal((512, 256), np.float32)
    program = Program.open(save_program(lambda x: Builder.linear(x=x, weight=weight), "FLOAT16", x=(1, 256)))
    (held,) = [value for value in program.routines[0].constants.values() if isinstance(value, Weight)]
    read = held.read()
    assert isinstance(read.base.base, np.memmap) or isinstance(read.base, np.memmap)
    np.testing.assert_array_equal(read, weight.astype(np.float16), strict=True)
    x = np.ones((1, 256), np.float32)
    np.testing.assert_allclose(only(program.run(x=x)), x @ weight.T, atol=0.05)


def test_rounding_leaves_the_inputs_alone(save_program: SaveProgram) -> None:
    from coremltools.converters.mil import Builder

    path = save_program(lambda x: Builder.add(x=Builder.cast(x=x, dtype="fp16"), y=np.float16(0)), x=(1, 2))
    x = np.array([[1.0001, 3.0]], np.float32)
    np.testing.assert_array_equal(only(Program.open(path).run(x=x)), [[1.0, 3.0]])
    np.testing.assert_array_equal(x, np.array([[1.0001, 3.0]], np.float32))


@pytest.mark.parametrize("shared", [True, False])
def test_rounding_is_in_place_only_where_it_may_be(shared: bool) -> None:
    x = torch.randn(3, 2**20 + 5, generator=torch.Generator().manual_seed(1))
    for value in (x.clone(), x.T.clone().T):
        before = value.clone()
        got = rounded(value, shared)
        assert torch.equal(got, before.half().float())
        assert torch.equal(value, before) or (not shared and got.data_ptr() == value.data_ptr())


def test_half_precision_overflow_is_seen(save_program: SaveProgram) -> None:
    from coremltools.converters.mil import Builder

    path = save_program(lambda x: Builder.square(x=x), "FLOAT16", x=(1, 2))
    arrays = {"x": np.array([[200.0, 300.0]], np.float32)}
    np.testing.assert_array_equal(only(Program.open(path).run(**arrays)), [[40000.0, np.inf]])
    np.testing.assert_array_equal(only(Program.open(path, "float32").run(**arrays)), [[40000.0, 90000.0]])


def test_outputs_that_are_inputs_or_constants_are_given(save_program: SaveProgram) -> None:
    from coremltools.converters.mil import Builder

    path = save_program(lambda x, y: (Builder.add(x=x, y=y), Builder.identity(x=x)), x=(1, 2), y=(1, 2))
    ones = np.ones((1, 2), np.float32)
    outputs = Program.open(path).run(x=ones, y=2 * ones)
    assert sorted(float(value.mean()) for value in outputs.values()) == [1.0, 3.0]


def test_an_unknown_operation_is_named(save_program: SaveProgram) -> None:
    from coremltools.converters.mil import Builder

    assert "affine" not in OPS
    options = {"output_height": 2, "output_width": 2, "sampling_mode": "bilinear", "padding_mode": "constant"}
    options |= {"padding_value": 0.0, "coordinates_mode": "normalized_minus_one_to_one", "align_corners": True}
    matrix = np.eye(2, 3, dtype=np.float32).reshape(1, 6)
    path = save_program(lambda x: Builder.affine(x=x, transform_matrix=matrix, **options), x=(1, 1, 2, 2))
    with pytest.raises(ExportError, match=r"expected only known operations, got 'affine'"):
        Program.open(path)


def test_an_unknown_parameter_is_named(save_program: SaveProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    from coremltools.converters.mil import Builder

    monkeypatch.setitem(OPS, "gelu", lambda x: x)
    path = save_program(lambda x: Builder.gelu(x=x), x=(1, 3))
    with pytest.raises(ExportError, match=r"gelu .*: expected supported parameters, got: .*'mode'"):
        Program.open(path)


def test_an_unknown_precision_is_refused(programs: dict[str, Program]) -> None:
    with pytest.raises(ExportError, match=r"precision: expected one of .*, got 'float64'"):
        dataclasses.replace(programs["denoise"], precision="float64")


@pytest.mark.parametrize("step", [-1, 8, 70000])
def test_a_step_outside_the_table_is_refused(step: int, programs: dict[str, Program], make_inputs: Inputs) -> None:
    with pytest.raises(ExportError, match=r"expected (values|indices) from"):
        programs["denoise"].run(**make_inputs("denoise", step))
