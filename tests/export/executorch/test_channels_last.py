"""Convolutions whose input is rounded at run time, after operations that leave their input with the channels first."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from executorch.backends.xnnpack._passes.channels_last_tagged_reshape_pass import ChannelsLastTaggedReshapePass
from executorch.runtime import Runtime
from torch import Tensor, nn
from torch.nn import functional as F

from export.executorch import passes
from export.executorch.channels_last import ChannelsLast
from export.executorch.lower import convert
from export.executorch.quantize.recipe import dynamic
from export.rewrites.xnnpack.upsampling import UpsampleByBroadcast
from export.signatures import TensorSpec
from export.stages import ExportStage


class Upsampled(nn.Module):
    """Repeated pixels before a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.conv = UpsampleByBroadcast(), nn.Conv2d(32, 32, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.up(x))


class Activated(nn.Module):
    """An activation of the input itself before a convolution, and the input beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(32, 32, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(F.silu(x))


class Padded(nn.Module):
    """Zeros on two sides, as an autoencoder pads before it halves a map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(32, 48, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Shared(nn.Module):
    """Two convolutions of one map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.shortcut = nn.Conv2d(32, 32, 3, padding=1), nn.Conv2d(32, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.shortcut(x)


def runs(kind: type[nn.Module]) -> float:
    """dB of the program that ExecuTorch's runtime runs, against PyTorch in float32."""
    torch.manual_seed(5)
    spec = TensorSpec("x", "float32", (1, 32, 16, 16))
    stage = ExportStage("forward", kind().eval().requires_grad_(False), (spec,), (TensorSpec("y", "float32", ()),))
    x = torch.randn(spec.shape)
    program = Runtime.get().load_program(convert(stage, dynamic(stage).program).buffer)
    method = program.load_method("forward")
    assert method is not None
    wanted, got = stage.module(x), method.execute([x])[0]
    return float(10 * torch.log10(wanted.square().sum() / (wanted - got).square().sum()))


@pytest.mark.parametrize("kind", [Upsampled, Activated, Padded, Shared])
def test_the_convolution_reads_its_input_in_the_right_order(kind: type[nn.Module]) -> None:
    assert runs(kind) > 32


@pytest.mark.parametrize("kind", [Upsampled, Activated])
def test_upstreams_pass_alone_does_not(kind: type[nn.Module]) -> None:
    """When this fails, upstream is fixed and channels_last.py can go."""
    upstream = [ChannelsLastTaggedReshapePass if each is ChannelsLast else each for each in passes.XNNPACK_PASSES]
    with patch.object(passes, "XNNPACK_PASSES", upstream):
        try:
            assert runs(kind) < 10
        except RuntimeError as error:
            assert "execute() failed" in str(error)
