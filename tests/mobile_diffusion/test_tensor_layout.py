"""Tensors on disk: what is read is what was written, whatever its type, rows and shape; damage is one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.tensor_layout import (
    Layout,
    Stored,
    check_layout,
    expected_shapes,
    load_layout,
    read_headers,
    read_layout,
)

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def build() -> nn.Module:
    return nn.Linear(3, 4)


@pytest.fixture
def state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {"weight": torch.randn(4, 3, generator=generator), "bias": torch.randn(4, generator=generator)}


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_float_becomes_float32(dtype: torch.dtype, state: dict[str, Tensor], tmp_path: Path) -> None:
    stored = {name: tensor.to(dtype) for name, tensor in state.items()}
    save_file(stored, tmp_path / "a.safetensors", metadata={"format": "pt"})
    layout = read_layout(tmp_path / "a.safetensors")
    check_layout(build, layout, tmp_path)
    loaded = load_layout(build, layout).state_dict()
    assert all(torch.equal(loaded[name], tensor.float()) for name, tensor in stored.items())


def test_headers_say_shape_and_type(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file({**state, "bias": state["bias"].half()}, tmp_path / "a.safetensors")
    assert read_headers(tmp_path / "a.safetensors") == {"weight": ((4, 3), "F32"), "bias": ((4,), "F16")}


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_reshaping_and_several_files(dtype: torch.dtype, tmp_path: Path) -> None:
    fused, bias = torch.arange(36.0).reshape(12, 3, 1).to(dtype), torch.arange(12.0).to(dtype)
    save_file({"qkv": fused}, tmp_path / "a.safetensors")
    save_file({"qkv_bias": bias}, tmp_path / "b.safetensors")
    code = read_layout(tmp_path / "a.safetensors")["qkv"].dtype
    layout: Layout = {
        "weight": Stored(tmp_path / "a.safetensors", "qkv", (4, 3), code, rows=(4, 8)),
        "bias": Stored(tmp_path / "b.safetensors", "qkv_bias", (4,), code, rows=(8, 12)),
    }
    loaded = load_layout(build, layout).state_dict()
    assert torch.equal(loaded["weight"], fused[4:8, :, 0].float()) and torch.equal(loaded["bias"], bias[8:].float())


def test_changes_are_made_to_float32_before_the_network_has_it(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file({name: tensor.half() for name, tensor in state.items()}, tmp_path / "a.safetensors")

    def widen(weights: dict[str, Tensor]) -> None:
        assert weights["bias"].dtype == torch.float32
        weights["weight"] = torch.cat([weights["weight"], torch.ones(1, 3)])
        weights["bias"] = torch.cat([weights["bias"], torch.ones(1)])

    module = load_layout(lambda: nn.Linear(3, 5), read_layout(tmp_path / "a.safetensors"), [widen])
    assert torch.equal(module.state_dict()["bias"][-1:], torch.ones(1))


def test_weights_do_not_follow_the_file(state: dict[str, Tensor], tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file(state, file)
    module = load_layout(build, read_layout(file))
    with file.open("r+b") as stream:
        stream.seek(-4, 2)
        stream.write(b"\xff\xff\x7f\x7f")
    assert torch.equal(module.state_dict()["weight"], state["weight"])


def test_a_file_that_shrinks_after_its_header_was_read(state: dict[str, Tensor], tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file(state, file)
    layout = read_layout(file)
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="a.safetensors: expected a whole safetensors file, got: the end of"):
        load_layout(build, layout)


@pytest.mark.parametrize("value", [1e300, float("inf"), float("nan")])
def test_weights_beyond_float32_are_refused(value: float, state: dict[str, Tensor], tmp_path: Path) -> None:
    wide = {name: tensor.double() for name, tensor in state.items()}
    wide["bias"][2] = value
    save_file(wide, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match="tensor 'bias': expected finite weights"):
        load_layout(build, read_layout(tmp_path / "a.safetensors"))


def test_checking_allocates_and_draws_nothing() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    shapes = expected_shapes(lambda: nn.Linear(10**5, 10**4), Path("x"))
    assert shapes["weight"] == (10**4, 10**5) and torch.equal(torch.rand(1), expected)


MEASURE = """
import sys
from pathlib import Path
from torch import nn
from mobile_diffusion.tensor_layout import load_layout, read_layout

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

before = peak()
module = load_layout(
    lambda: nn.ModuleList(nn.Linear(1024, 1024, bias=False) for _ in range(64)), read_layout(Path(sys.argv[1]))
)
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone says a process's peak memory in /proc")
def test_loading_holds_float32_and_one_tensor(tmp_path: Path) -> None:
    """64 tensors of 2 MB in half precision: 268 MB in single, and no second copy of either."""
    weights = {f"{index}.weight": torch.full((1024, 1024), 0.5).half() for index in range(64)}
    save_file(weights, tmp_path / "a.safetensors")
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "a.safetensors")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    megabytes = int(done.stdout) / 1024
    assert 200 < megabytes < 300, megabytes
