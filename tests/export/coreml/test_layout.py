"""What is counted of a program, and what the Neural Engine's layout refuses."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export.coreml.layout import check_layout, layout_of
from export.coreml.options import GPU, NEURAL_ENGINE
from mobile_diffusion.errors import ExportError


@pytest.fixture
def spec(save_program: Callable[..., Path], ct: Any) -> Any:
    """A program of a transposition and two additions."""
    from coremltools.converters.mil import Builder

    def body(x: Any) -> Any:
        turned = Builder.transpose(x=x, perm=[1, 0])
        return Builder.add(x=Builder.add(x=turned, y=1.5), y=turned)

    return ct.models.MLModel(str(save_program(body, x=(2, 3))), skip_model_load=True).get_spec()


def computed(spec: Any) -> list[Any]:
    """The operations of the main function, constants left out."""
    function = spec.mlProgram.functions["main"]
    return [each for each in function.block_specializations[function.opset].operations if each.type != "const"]


def test_operations_are_counted(spec: Any) -> None:
    found = layout_of(spec)
    assert dict(found.operations) == {"add": 2, "transpose": 1}
    assert (found.total, found.rank, found.gathers, found.dynamic) == (3, 2, 0, ())


def test_it_passes_in_both_layouts(spec: Any) -> None:
    for layout in (GPU, NEURAL_ENGINE):
        check_layout(spec, layout, "denoise")


def changed(spec: Any, change: Callable[[Any], None]) -> Any:
    """A copy of the specification with its second operation changed."""
    result = copy.deepcopy(spec)
    change(computed(result)[1])
    return result


def to_five_axes(operation: Any) -> None:
    for _ in range(3):
        operation.outputs[0].type.tensorType.dimensions.add().constant.size = 1


def to_unknown_size(operation: Any) -> None:
    operation.outputs[0].type.tensorType.dimensions[0].unknown.variadic = False


def renamed(name: str) -> Callable[[Any], None]:
    return lambda operation: setattr(operation, "type", name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (to_five_axes, "denoise: expected tensors of at most 4 axes, got one of 5"),
        (renamed("gather"), "denoise: expected no gather except that of the word embedding, got 1"),
        (renamed("linear"), "denoise: expected convolutions and einsums only, got operation 'linear'"),
        (renamed("matmul"), "denoise: expected convolutions and einsums only, got operation 'matmul'"),
    ],
)
def test_what_the_engine_does_not_take_is_refused_there_only(
    change: Callable[[Any], None], message: str, spec: Any
) -> None:
    wrong = changed(spec, change)
    with pytest.raises(ExportError, match=message):
        check_layout(wrong, NEURAL_ENGINE, "denoise")
    check_layout(wrong, GPU, "denoise")


def test_the_words_may_be_gathered_once(spec: Any) -> None:
    check_layout(changed(spec, renamed("gather")), NEURAL_ENGINE, "encode_text")
    twice = changed(spec, renamed("gather"))
    computed(twice)[2].type = "gather_nd"
    with pytest.raises(ExportError, match="encode_text: expected no gather except that of the word embedding, got 2"):
        check_layout(twice, NEURAL_ENGINE, "encode_text")


def test_a_dynamic_shape_is_refused_everywhere(spec: Any) -> None:
    wrong = changed(spec, to_unknown_size)
    for layout in (GPU, NEURAL_ENGINE):
        with pytest.raises(ExportError, match="expected static shapes, got an axis of unknown size in '"):
            check_layout(wrong, layout, "denoise")
