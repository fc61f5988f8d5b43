"""Branches, loops, states, functions and pipelines in saved packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.coreml.interpret import Program
from export.coreml.toolchain import NOISY_LOGGERS, without_bars
from export.quiet import errors_only
from mobile_diffusion.errors import ExportError
from tests.export.coreml.conversion import convert

Save = Callable[..., Path]
ROW = np.array([[1.0, -2.0, 3.0]], np.float32)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_branch(sign: int, save_program: Save) -> None:
    from coremltools.converters.mil import Builder

    def body(x: Any) -> Any:
        chosen = Builder.greater(x=Builder.reduce_sum(x=x, axes=[0, 1], keep_dims=False), y=np.float32(0))
        return Builder.cond(
            pred=chosen, _true_fn=lambda: Builder.mul(x=x, y=2.0), _false_fn=lambda: Builder.sub(x=x, y=1.0)
        )

    program = Program.open(save_program(body, x=(1, 3)))
    (got,) = program.run(x=sign * ROW).values()
    np.testing.assert_array_equal(got, 2 * ROW if sign > 0 else -ROW - 1)


@pytest.fixture
def loop(save_program: Save) -> Program:
    """Doubles x until its sum is at least 100, with a value of outside in each round; returns x and the rounds."""
    from coremltools.converters.mil import Builder

    def body(x: Any) -> Any:
        step = Builder.mul(x=x, y=0.0)
        count = Builder.reduce_sum(x=step, axes=[0, 1], keep_dims=False)

        def unfinished(x: Any, count: Any) -> Any:
            return Builder.less(x=Builder.reduce_sum(x=x, axes=[0, 1], keep_dims=False), y=np.float32(100))

        def double(x: Any, count: Any) -> Any:
            return Builder.add(x=Builder.mul(x=x, y=2.0), y=step), Builder.add(x=count, y=1.0)

        return Builder.while_loop(_cond=unfinished, _body=double, loop_vars=(x, count))

    return Program.open(save_program(body, x=(1, 3)))


def test_a_loop(loop: Program) -> None:
    for start in (1.0, 3.0, 60.0):
        rounds = 0 if 3 * start >= 100 else int(np.ceil(np.log2(100 / (3 * start))))
        got = {value.size: value for value in loop.run(x=np.full((1, 3), start, np.float32)).values()}
        np.testing.assert_array_equal(got[3], np.full((1, 3), start * 2**rounds))
        assert float(got[1]) == rounds


def test_what_a_loop_does_is_observed(loop: Program) -> None:
    seen: list[str] = []
    x = np.full((1, 3), 10.0, np.float32)
    loop.run(lambda instruction, operands, exact, stored: seen.append(instruction.operation), x=x)
    assert seen.count("less") == 3 and seen.count("while_loop") == 1 and seen.index("less") < seen.index("while_loop")


@pytest.fixture
def counter(ct: Any, tmp_path: Path) -> Path:
    """A package that adds x to a state and returns the sum, and twice the earlier state."""
    from coremltools.converters.mil import Builder
    from coremltools.converters.mil.mil import types

    specs = [Builder.TensorSpec(shape=(1, 3), dtype=types.fp16), Builder.StateTensorSpec((1, 3), dtype=types.fp16)]

    @Builder.program(input_specs=specs, opset_version=ct.target.iOS18)
    def program(x: Any, total: Any) -> Any:
        before = Builder.read_state(input=total)
        after = Builder.add(x=before, y=x)
        stored = Builder.coreml_update_state(state=total, value=after)
        return Builder.mul(x=before, y=np.float16(2)), Builder.identity(x=stored)

    path = tmp_path / "counter.mlpackage"
    convert(ct, program, "FLOAT16", "iOS18").save(str(path))
    return path


def test_states_are_kept_by_the_caller(counter: Path) -> None:
    program = Program.open(counter)
    states = program.new_states()
    x = ROW.astype(program.inputs[0].dtype)
    first, second = (list(program.run_with(states, {"x": x}).values()) for _ in range(2))
    np.testing.assert_array_equal(first, [0 * ROW, ROW])
    np.testing.assert_array_equal(second, [2 * ROW, 2 * ROW])
    np.testing.assert_array_equal(states.read("total"), 2 * ROW)
    states.write("total", -ROW)
    np.testing.assert_array_equal(list(program.run_with(states, {"x": x}).values()), [-2 * ROW, 0 * ROW])


def test_without_states_every_run_begins_anew(counter: Path) -> None:
    program = Program.open(counter)
    x = ROW.astype(program.inputs[0].dtype)
    for _ in range(2):
        np.testing.assert_array_equal(list(program.run(x=x).values()), [0 * ROW, ROW])


def test_states_are_checked_against_their_names_and_shapes(counter: Path) -> None:
    states = Program.open(counter).new_states()
    with pytest.raises(ExportError, match=r"expected a state of total, got 'sum'"):
        states.read("sum")
    with pytest.raises(ExportError, match=r"write_state 'total': expected shape \(1, 3\), got \(3,\)"):
        states.write("total", ROW[0])


def scaler(factor: float) -> Callable[[Any], Any]:
    """A MIL function that multiplies."""
    from coremltools.converters.mil import Builder

    return lambda x: Builder.mul(x=x, y=factor)


@pytest.fixture
def both(ct: Any, save_program: Save, tmp_path: Path) -> Path:
    """A package with the functions "double" and "negate", the latter its default."""
    descriptor = ct.utils.MultiFunctionDescriptor()
    for name, factor in (("double", 2.0), ("negate", -1.0)):
        path = save_program(scaler(factor), "FLOAT32", "iOS18", x=(1, 3))
        kept = path.rename(tmp_path / f"{name}.mlpackage")
        descriptor.add_function(str(kept), src_function_name="main", target_function_name=name)
    descriptor.default_function_name = "negate"
    with errors_only(NOISY_LOGGERS), without_bars():
        ct.utils.save_multifunction(descriptor, str(tmp_path / "both.mlpackage"))
    return tmp_path / "both.mlpackage"


def test_functions(both: Path) -> None:
    for function, factor in (("double", 2), ("negate", -1), (None, -1)):
        (got,) = Program.open(both, function=function).run(x=ROW).values()
        np.testing.assert_array_equal(got, factor * ROW)


def test_an_unknown_function_is_refused(both: Path) -> None:
    with pytest.raises(ExportError, match=r"expected a function of double, negate, got 'halve'"):
        Program.open(both, function="halve")


def test_a_pipeline(ct: Any, save_program: Save, tmp_path: Path) -> None:
    """Two models with a weights file each; the second takes the output of the first, and an input of its own."""
    from coremltools.converters.mil import Builder

    weights = [np.random.default_rng(seed).standard_normal((64, 64), np.float32) for seed in (1, 2)]
    bodies = [
        lambda x: Builder.linear(x=x, weight=weights[0], name="middle"),
        lambda middle, y: Builder.add(x=Builder.linear(x=middle, weight=weights[1]), y=y, name="end"),
    ]
    models = []
    for place, (body, names) in enumerate(zip(bodies, (("x",), ("middle", "y")), strict=True)):
        path = save_program(body, **{name: (1, 64) for name in names})
        kept = path.rename(tmp_path / f"{place}.mlpackage")
        models.append(ct.models.MLModel(str(kept), skip_model_load=True))
    ct.utils.make_pipeline(*models).save(str(tmp_path / "both.mlpackage"))
    program = Program.open(tmp_path / "both.mlpackage")
    x, y = (np.random.default_rng(seed).standard_normal((1, 64), np.float32) for seed in (3, 4))
    assert [spec.name for spec in program.inputs] == ["x", "y"] and len(program.routines) == 2
    np.testing.assert_allclose(program.run(x=x, y=y)["end"], x @ weights[0].T @ weights[1].T + y, rtol=1e-4, atol=1e-4)
