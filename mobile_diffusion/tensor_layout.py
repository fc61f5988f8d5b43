"""Where our tensors are stored on disk, and how a network loads them.

The reader of a format builds a `Layout` (our state-dict name -> `Stored`) from the headers of safetensors files.  The
layout is checked against the network before a weight is read, so an error in a file is found at once, and the message
names its first wrong tensor.  Weights are read one tensor at a time and converted to float32, so at most one tensor is
in memory twice.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.model_limits import PARAMETERS
from mobile_diffusion.quoting import quoted, shortened
from mobile_diffusion.strict_json import parse_json

FLOATS = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
Shape = tuple[int, ...]
Build = Callable[[], nn.Module]
Change = Callable[[dict[str, Tensor]], None]
"""Takes a network's float32 weights by our names and changes them in place, before they are assigned."""


@dataclass(frozen=True)
class Stored:
    """The place of one of our tensors on disk."""

    file: Path
    """A safetensors file."""
    name: str
    """Name of the tensor in the file."""
    shape: Shape
    """Shape of our tensor; it may differ from the stored shape but has the same number of elements as `rows`."""
    dtype: str
    """Type in the spelling of the file's header, such as "F16"."""
    rows: tuple[int, int] | None = None
    """Rows [first, end) of the stored tensor's dimension 0 that our tensor consists of; None for all."""
    transposed: bool = False
    """Whether the stored tensor is the transpose of ours, a matrix."""

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return math.prod(self.shape) * FLOATS[self.dtype].itemsize


Layout = dict[str, Stored]


def read_headers(file: Path) -> dict[str, tuple[Shape, str]]:
    """Read the shape and type of every tensor in a safetensors file; raise CheckpointError when it is damaged."""
    with _readable(file), safe_open(file, framework="pt") as stored:
        slices = {name: stored.get_slice(name) for name in stored.keys()}  # noqa: SIM118 (not a dict)
        return {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}


def read_layout(file: Path) -> Layout:
    """Read the layout of a file under its own tensor names; raise CheckpointError when the file is damaged."""
    return {name: Stored(file, name, shape, dtype) for name, (shape, dtype) in read_headers(file).items()}


def check_layout(build: Build, layout: Layout, where: Path) -> None:
    """Check a layout against its network before any weight is read.

    Raises CheckpointError naming the first tensor that is not a float tensor, is missing, has the wrong shape or is
    extra, and the number of other such tensors.
    """
    wrong = [name for name in sorted(layout) if layout[name].dtype not in FLOATS]
    problems = [
        f"tensor {quoted(name)}: expected floats of 16 bits or more, got {_described(layout[name])}" for name in wrong
    ]
    problems += _misfits(expected_shapes(build, where), {name: stored.shape for name, stored in layout.items()})
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise CheckpointError(f"{where}: {problems[0]}{more}; use the weights that belong to its configuration")


def _described(stored: Stored) -> str:
    """The type of a tensor that is none of FLOATS, for an error message."""
    if stored.dtype.startswith("F8"):
        return f"float8 ({stored.dtype}), which has lost too much precision to be exported; use the float16 file"
    return stored.dtype


def load_layout(build: Build, layout: Layout, changes: Sequence[Change] = ()) -> nn.Module:
    """Build a network in evaluation mode and load the weights of a layout as float32, with `changes` applied.

    Raises CheckpointError when a file is damaged or a weight is NaN or inf.
    """
    state = {name: tensor for file in _files(layout) for name, tensor in _read(file, layout)}
    for change in changes:
        change(state)
    with _WithoutInitialisation():
        module = build()
    module.load_state_dict(state, assign=True)
    return module.eval()


def _files(layout: Layout) -> list[Path]:
    return list(dict.fromkeys(stored.file for stored in layout.values()))


def _read(file: Path, layout: Layout) -> Iterator[tuple[str, Tensor]]:
    """Yield our name and the float32 value of every tensor that is stored in `file`."""
    ours = {name: stored for name, stored in layout.items() if stored.file == file}
    buffer = torch.empty(max(stored.size for stored in ours.values()), dtype=torch.uint8)  # reused: less fragmentation
    with _readable(file), file.open("rb") as stream:
        offsets = _offsets(stream)
        for name, stored in ours.items():
            tensor = _read_tensor(stream, offsets[stored.name], stored, buffer)
            if tensor.numel() and not all(math.isfinite(value) for value in torch.aminmax(tensor)):
                raise CheckpointError(f"{file}: tensor {quoted(stored.name)}: expected finite weights, got NaN or inf")
            yield name, tensor


def _offsets(stream: BinaryIO) -> dict[str, int]:
    """The offset in bytes of every tensor, from a safetensors header that `read_headers` has checked."""
    length = int.from_bytes(stream.read(8), "little")
    header: dict[str, Any] = parse_json(stream.read(length))
    header.pop("__metadata__", None)
    return {name: 8 + length + entry["data_offsets"][0] for name, entry in header.items()}


def _read_tensor(stream: BinaryIO, offset: int, stored: Stored, buffer: Tensor) -> Tensor:
    """Read a tensor into new float32 memory; `buffer` receives the bytes of the file first."""
    row = 0 if stored.rows is None else stored.size // (stored.rows[1] - stored.rows[0])
    stream.seek(offset + row * (stored.rows[0] if stored.rows else 0))
    raw = buffer[: stored.size]
    if stream.readinto(raw.numpy()) != stored.size:  # type: ignore[attr-defined]
        raise OSError(f"the end of the file inside tensor {quoted(stored.name)}")
    values = raw.view(FLOATS[stored.dtype]).to(torch.float32, copy=True)
    return values.reshape(stored.shape[::-1]).t().contiguous() if stored.transposed else values.reshape(stored.shape)


@contextlib.contextmanager
def _readable(file: Path) -> Iterator[None]:
    """A context in which the errors of a damaged file are raised as CheckpointError."""
    try:
        yield
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        reason = f"{file}: expected a whole safetensors file, got: {shortened(error)}; fetch it again"
        raise CheckpointError(reason) from error


def expected_shapes(build: Build, where: Path) -> dict[str, Shape]:
    """The shape of every tensor of a network, without allocating it.

    Raises CheckpointError, which begins with `where`, when the sizes of its configuration are impossible.
    """
    try:
        with torch.device("meta"), _WithoutInitialisation():
            shapes = {name: tuple(tensor.shape) for name, tensor in build().state_dict().items()}
    except (RuntimeError, OverflowError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"{where}: expected sizes that a model can have, got: {reason}") from error
    if (parameters := sum(map(math.prod, shapes.values()))) > PARAMETERS:
        reason = f"expected a network of at most {PARAMETERS:,} parameters, got {parameters:,}"
        raise CheckpointError(f"{where}: {reason}; use a smaller network")
    return shapes


def _misfits(expected: dict[str, Shape], found: dict[str, Shape]) -> list[str]:
    """A message per tensor that is missing or has the wrong shape, in the network's order, then per extra tensor."""
    problems = []
    for name, shape in expected.items():
        if name not in found:
            problems.append(f"tensor {quoted(name)} is missing, expected shape {shortened(list(shape))}")
        elif found[name] != shape:
            problems.append(
                f"tensor {quoted(name)}: expected shape {shortened(list(shape))}, got {shortened(list(found[name]))}"
            )
    extra = sorted(set(found) - set(expected))
    return problems + [f"tensor {quoted(name)} is extra, expected none of that name" for name in extra]


class _WithoutInitialisation(TorchFunctionMode):
    """A context in which torch.nn.init does nothing, so networks are built with uninitialised weights."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)
