"""One network's weights in one safetensors file: checked from its header, loaded, and written.

A file's tensor names, shapes and types are compared with the network before a weight is read, so a wrong file
costs nothing and the message names its first bad tensor.  Weights are float16 on disk, float32 in memory.
Folders, configurations and tokenizers are the business of checkpoint.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mobile_diffusion.errors import CheckpointError

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
FLOATS = ("F16", "BF16", "F32", "F64")

Build = Callable[[], nn.Module]
Shapes = dict[str, tuple[int, ...]]


def refuse_pickle(file: Path) -> None:
    """Raise CheckpointError when the name says pickle: opening one can run any code."""
    if file.suffix.lower() in PICKLES:
        raise CheckpointError(f"{file}: expected safetensors, got a pickle, which can run code; convert it")


def check_weights(build: Build, file: Path) -> None:
    """Compare the header of a safetensors file with the network, before any weight is read.

    Raises CheckpointError naming the first missing, misshaped or extra tensor and the number of others.
    """
    if not file.is_file():
        for suffix in PICKLES:
            if (pickle := file.with_suffix(suffix)).exists():
                refuse_pickle(pickle)
        raise CheckpointError(f"{file}: expected weights of the {file.stem}, got no such file; restore it")
    found, problems = _read_header(file)
    problems += _misfits(_expected_shapes(build, file), found)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CheckpointError(f"{file}: {problems[0]}{more}; use the weights that belong to model.json")


def _read_header(file: Path) -> tuple[Shapes, list[str]]:
    """The shape of every tensor in a file, and a problem for each that holds no floats."""
    with _readable(file) as stored:
        slices = {name: stored.get_slice(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
        dtypes = {name: part.get_dtype() for name, part in slices.items()}
        shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
    wrong = [name for name in sorted(dtypes) if dtypes[name] not in FLOATS]
    return shapes, [f"tensor {name!r}: expected floats, got {dtypes[name]}" for name in wrong]


@contextlib.contextmanager
def _readable(file: Path) -> Iterator[Any]:
    """A safetensors file, opened; raises CheckpointError when it is damaged."""
    try:
        with safe_open(file, framework="pt") as stored:
            yield stored
    except (SafetensorError, OSError) as error:
        reason = f"{file}: expected a whole safetensors file, got: {error}; fetch it again"
        raise CheckpointError(reason) from error


def _expected_shapes(build: Build, file: Path) -> Shapes:
    """The shape of every tensor of a network, found without allocating it."""
    try:
        with torch.device("meta"), _WithoutInitialisation():
            return {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}
    except (RuntimeError, OverflowError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{file}: expected sizes that a model can have, got: {reason}") from error


def _misfits(expected: Shapes, found: Shapes) -> list[str]:
    """A line for each tensor that is missing, wrongly shaped or unknown, in the network's order."""
    problems = []
    for name, shape in expected.items():
        if name not in found:
            problems.append(f"tensor {name!r} is missing, expected shape {list(shape)}")
        elif found[name] != shape:
            problems.append(f"tensor {name!r}: expected shape {list(shape)}, got {list(found[name])}")
    extra = sorted(set(found) - set(expected))
    return problems + [f"tensor {name!r} is extra, expected none of that name" for name in extra]


class _WithoutInitialisation(TorchFunctionMode):
    """Inside it, networks are built with whatever is in memory: torch.nn.init does nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


def load_weights(build: Build, file: Path) -> nn.Module:
    """Build a network and give it the weights of `file`, as float32; raises CheckpointError on NaN or inf."""
    with _readable(file) as stored:
        state = {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{file}: tensor {name!r}: expected finite weights, got NaN or inf")
    with _WithoutInitialisation():
        module = build()
    module.load_state_dict(state, assign=True)
    return module.eval()


def save_weights(module: nn.Module, file: Path) -> None:
    """Write a network's weights as float16; raises CheckpointError when one does not fit."""
    state: dict[str, Tensor] = {
        name: tensor.detach().cpu().half().contiguous() for name, tensor in module.state_dict().items()
    }
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{file.name}: tensor {name!r}: expected values within float16, got others")
    save_file(state, file, metadata={"format": "pt"})
