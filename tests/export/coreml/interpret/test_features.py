"""Pictures and half precision at the boundary of a program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.coreml.interpret import Program
from mobile_diffusion.errors import ExportError
from tests.export.coreml.conversion import convert

Make = Callable[..., Program]
PICTURE = np.random.default_rng(2).integers(0, 256, (4, 6, 3)).astype(np.uint8)


class Applied(nn.Module):
    """A function as a module."""

    def __init__(self, body: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """x (1, C, 4, 6)."""
        return self.body(x)


@pytest.fixture
def make(ct: Any, tmp_path: Path) -> Make:
    """`make("RGB", body, scale=...)`: a program from a picture to a picture of the same colours."""

    def build(color: str, body: Callable[[Tensor], Tensor], **options: Any) -> Program:
        shape = (1, 1 if color == "GRAYSCALE" else 3, 4, 6)
        program = torch.export.export(Applied(body).eval(), (torch.zeros(shape),)).run_decompositions({})
        layout = ct.colorlayout[color]
        inputs = [ct.ImageType(name="x", shape=shape, color_layout=layout, **options)]
        outputs = [ct.ImageType(color_layout=layout)]
        path = tmp_path / "picture.mlpackage"
        convert(ct, program, "FLOAT32", "iOS17", inputs=inputs, outputs=outputs).save(str(path))
        return Program.open(path)

    return build


def only(outputs: dict[str, np.ndarray]) -> np.ndarray:
    (value,) = outputs.values()
    return value


@pytest.mark.parametrize("color", ["RGB", "BGR"])
def test_pictures_are_red_green_and_blue(color: str, make: Make) -> None:
    """Half the first channel of the program, which is blue in BGR."""
    program = make(color, lambda x: x * torch.tensor([0.5, 1.0, 1.0]).reshape(1, 3, 1, 1))
    assert [(spec.dtype, spec.shape) for spec in (*program.inputs, *program.outputs)] == [("image", (4, 6, 3))] * 2
    got, halved = only(program.run(x=PICTURE)), 0 if color == "RGB" else 2
    np.testing.assert_array_equal(got[..., halved], np.round(PICTURE[..., halved] / 2).astype(np.uint8))
    others = [place for place in range(3) if place != halved]
    np.testing.assert_array_equal(got[..., others], PICTURE[..., others])
    assert got.dtype == np.uint8 and got.flags["C_CONTIGUOUS"]


def test_grey_pictures_have_no_channel(make: Make) -> None:
    program = make("GRAYSCALE", lambda x: 255.0 - x)
    np.testing.assert_array_equal(only(program.run(x=PICTURE[..., 0])), 255 - PICTURE[..., 0])


def test_scale_and_bias_are_the_programs(make: Make) -> None:
    """And numbers outside of 0..255 are cut."""
    program = make("RGB", lambda x: x + torch.relu(-x) - torch.relu(-x), scale=2.0, bias=[-100.0, 0.0, 10.0])
    expected = np.clip(PICTURE * 2.0 + [-100, 0, 10], 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(only(program.run(x=PICTURE)), expected)


def test_a_picture_is_checked_against_its_size_and_type(make: Make) -> None:
    program = make("RGB", torch.relu)
    with pytest.raises(ExportError, match=r"expected x as uint8 \(4, 6, 3\), got float32 \(4, 6, 3\)"):
        program.run(x=PICTURE.astype(np.float32))
    with pytest.raises(ExportError, match=r"expected x as uint8 \(4, 6, 3\), got uint8 \(6, 4, 3\)"):
        program.run(x=PICTURE.transpose(1, 0, 2))


def test_half_precision_at_the_boundary(ct: Any, tmp_path: Path) -> None:
    from coremltools.converters.mil import Builder
    from coremltools.converters.mil.mil import types

    spec = Builder.TensorSpec(shape=(2,), dtype=types.fp16)
    program = Builder.program(input_specs=[spec], opset_version=ct.target.iOS17)(lambda x: Builder.square(x=x))
    path = tmp_path / "half.mlpackage"
    half = [ct.TensorType(dtype=np.float16)]
    convert(ct, program, "FLOAT16", "iOS17", outputs=half).save(str(path))
    x = np.array([3.0, 300.0], np.float16)
    got = only(Program.open(path).run(x=x))
    assert got.dtype == np.float16
    np.testing.assert_array_equal(got, [9, np.inf])
