"""Deferred weights: what stands for them, when that is refused, and that packages hold the real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.coreml.interpret import Program
from export.coreml.lower import exported, lower
from export.coreml.weights import Deferred, beyond_half, check_constants, deferrable, overflows
from export.signatures import TensorSpec
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError

WEIGHT = torch.arange(6.0).reshape(2, 3) / 7


def test_it_has_the_parameters_shape_and_none_of_its_memory() -> None:
    deferred = Deferred.of(torch.empty(1000, 1000))
    assert (deferred.shape, deferred.dtype, deferred.strides) == ((1000, 1000), np.float32, (0, 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_flatten_gives_the_numbers_in_its_type(dtype: Any) -> None:
    values = Deferred.of(WEIGHT).astype(dtype).flatten()
    np.testing.assert_array_equal(values, WEIGHT.numpy().reshape(-1).astype(dtype))
    assert values.dtype == dtype and type(values) is np.ndarray


@pytest.mark.parametrize(
    "change",
    [lambda x: x.T, lambda x: x[:1], lambda x: x.reshape(3, 2), lambda x: np.expand_dims(x, 0), lambda x: x.copy()],
)
def test_a_rearranged_one_is_refused(change: Callable[[Any], Any]) -> None:
    with pytest.raises(ExportError, match=r"expected a weight unchanged from the model, got a rearranged one of shape"):
        change(Deferred.of(WEIGHT)).flatten()


def test_what_is_computed_from_one_is_noticed() -> None:
    computed = np.asarray(Deferred.of(WEIGHT)) * 2
    program = SimpleNamespace(functions={"main": SimpleNamespace(operations=[constant("scaled", computed)])})
    with pytest.raises(ExportError, match=r"scaled: expected a constant of numbers, got NaN"):
        check_constants(program)


def constant(name: str, value: Any) -> Any:
    """As much of a MIL constant as `check_constants` reads."""
    return SimpleNamespace(name=name, op_type="const", val=SimpleNamespace(val=value))


def test_other_constants_are_left_alone() -> None:
    values = [Deferred.of(WEIGHT), np.float32(1), np.array([np.inf], np.float16), "same", np.array([1], np.int32), True]
    operations = [constant("fine", value) for value in values]
    check_constants(SimpleNamespace(functions={"main": SimpleNamespace(operations=operations)}))


@pytest.mark.parametrize(
    "value", [0.0, 65504.0, 65505.0, -70000.0, 1e37, np.inf, -np.inf, [1.0, 1e6], [np.inf, 2.0], [-np.inf, -7e4], []]
)
def test_overflow_is_what_coremltools_calls_so(value: Any, build: Callable[..., Any]) -> None:
    from coremltools.converters.mil.mil.passes.defs.quantization import FP16ComputePrecision

    array = np.array(value, np.float32)
    operation = build("add", x=array, y=np.float32(1)) if array.size else build("add", x=np.float32(1), y=np.float32(1))
    assert overflows(operation) == FP16ComputePrecision.fp16_overflow(operation) == beyond_half(array)
    assert beyond_half(Deferred.of(torch.from_numpy(array))) == beyond_half(array)


class Mixed(nn.Module):
    """Large parameters, of which one is computed with before anything else is."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(1024, 64)
        self.positions = nn.Parameter(torch.randn(1024, 64))
        self.inner = nn.Linear(64, 1024)
        self.conv = nn.Conv2d(1, 8192, 3)
        self.small = nn.Linear(3, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.inner(self.embedding(tokens) + self.positions[:3])
        return self.small(self.conv(x[None, None])[0, :3, 0, :3])


def mixed_stage() -> ExportStage:
    torch.manual_seed(3)
    inputs, outputs = (TensorSpec("tokens", "int32", (3,)),), (TensorSpec("y", "float32", (3, 3)),)
    return ExportStage("mixed", Mixed().eval().requires_grad_(False), inputs, outputs)


def test_only_large_parameters_that_are_handed_on_are_deferred() -> None:
    names = deferrable(exported(mixed_stage()))
    assert names == {"p_embedding_weight", "p_inner_weight", "p_conv_weight"}


def test_the_package_holds_the_weights_in_half_precision(tmp_path: Path) -> None:
    stage = mixed_stage()
    program = Program.open(tmp_path / lower(stage, tmp_path))
    held = [value for value in program.constants.values() if isinstance(value, Tensor)]
    for name in ("embedding", "inner", "conv"):
        weight = stage.module.get_parameter(f"{name}.weight").half()
        assert any(value.shape == weight.shape and torch.equal(value.half(), weight) for value in held)
    tokens = torch.tensor([5, 1023, 0], dtype=torch.int32)
    got = program.run(tokens=tokens.numpy())["y"]
    np.testing.assert_allclose(got, stage.module(tokens), atol=0.01)


def test_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    stage = mixed_stage()
    before = {name: value.clone() for name, value in stage.module.state_dict().items()}
    lower(stage, tmp_path)
    after = stage.module.state_dict()
    assert all(torch.equal(after[name], value) and after[name].dtype == value.dtype for name, value in before.items())


def test_coremltools_is_put_back(tmp_path: Path, ct: Any) -> None:
    from coremltools.converters.mil.frontend.torch.converter import TorchConverter
    from coremltools.converters.mil.mil.passes.defs.quantization import FP16ComputePrecision
    from coremltools.converters.mil.mil.passes.pass_pipeline import PassPipelineManager
    from coremltools.converters.mil.mil.program import Program as MilProgram

    def replaced() -> tuple[Any, ...]:
        creating, manager = ct.models.model._create_mlpackage, PassPipelineManager.apply_pipeline
        return (TorchConverter._add_const, FP16ComputePrecision.fp16_overflow, MilProgram.validate, creating, manager)

    before = replaced()
    lower(mixed_stage(), tmp_path)
    assert replaced() == before
