"""The faults: what a lowering, a converter or a careless edit could do to a stage without an error.

Each changes the module of one stage, which is then lowered as if it were right; PyTorch's reference is not changed.  A
new fault is one entry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mobile_diffusion.blocks import ResnetBlock
from mobile_diffusion.transformer import Attention, GatedGelu

Plant = Callable[[nn.Module], object]


@dataclass(frozen=True)
class Fault:
    """A fault of one stage."""

    name: str
    stage: str
    plant: Plant
    """Changes the stage's module in place."""
    undetectable: str = ""
    """Why no comparison of outputs can be expected to find it; "" where each runtime has to."""


def first(module: nn.Module, kind: type[nn.Module], number: int = 0) -> nn.Module:
    """The first (or a later) module of a kind inside another."""
    return [each for each in module.modules() if isinstance(each, kind)][number]


def named(module: nn.Module, end: str) -> Tensor:
    """The first parameter or buffer whose name ends like this."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return next(tensor for name, tensor in tensors if name.endswith(end))


def in_resnet(name: str, change: Callable[[Tensor], Tensor]) -> Plant:
    """Changes a tensor of a ResNet block in the middle."""
    return lambda module: replace(named(first(module, ResnetBlock, 2), name), change)


def on(end: str, change: Callable[[Tensor], Tensor]) -> Plant:
    """Changes the first tensor whose name ends like this."""
    return lambda module: replace(named(module, end), change)


def replace(tensor: Tensor, change: Callable[[Tensor], Tensor]) -> None:
    """Write a changed copy into a tensor."""
    with torch.no_grad():
        tensor.copy_(change(tensor.clone()))


def row_times(factor: float) -> Callable[[Tensor], Tensor]:
    """One output channel of a weight times a factor."""

    def change(tensor: Tensor) -> Tensor:
        tensor[1] *= factor
        return tensor

    return change


def swapped_halves(tensor: Tensor) -> Tensor:
    """The two halves of the rows in the other order."""
    return torch.cat(tensor.chunk(2)[::-1])


def swapped_queries(module: nn.Module) -> None:
    """Queries and keys of a self-attention change places, which transposes its scores."""
    attention = first(module, Attention)
    assert isinstance(attention, Attention)
    attention.to_q, attention.to_k = attention.to_k, attention.to_q


def swapped_gates(module: nn.Module) -> None:
    """The gate of GEGLU is the half that is gated."""
    layer = first(module, GatedGelu)
    assert isinstance(layer, GatedGelu)
    for tensor in (layer.proj.weight, layer.proj.bias):
        replace(tensor, swapped_halves)


def one_head_less(module: nn.Module) -> None:
    """The results of the last head are lost."""
    attention = first(module, Attention)
    assert isinstance(attention, Attention)
    width = attention.to_v.weight.shape[0] // attention.heads
    replace(attention.to_v.weight, lambda tensor: torch.cat([tensor[:-width], torch.zeros_like(tensor[-width:])]))


def epsilon(value: float) -> Plant:
    """Another epsilon in the first group norm."""

    def plant(module: nn.Module) -> None:
        norm = first(module, nn.GroupNorm)
        assert isinstance(norm, nn.GroupNorm)
        norm.eps = value

    return plant


def skip_first(module: nn.Module) -> None:
    """A block on the way up reads the feature map of the way down first, and then the map from below."""
    weight = next(
        tensor for name, tensor in module.named_parameters() if "up_blocks" in name and "conv1.weight" in name
    )
    half = weight.shape[1] // 2
    replace(weight, lambda tensor: torch.cat([tensor[:, half:], tensor[:, :half]], dim=1))


def nan(tensor: Tensor) -> Tensor:
    """One weight is no number."""
    tensor.view(-1)[3] = torch.nan
    return tensor


def first_two(tensor: Tensor) -> Tensor:
    """The first two rows change places."""
    return torch.cat([tensor[1:2], tensor[:1], tensor[2:]])


def rolled(tensor: Tensor) -> Tensor:
    """Each row is that of the step before."""
    return tensor.roll(1, 0)


def swap_words(module: nn.Module) -> None:
    """Two words of the prompt have each other's embedding."""
    table = named(module, "word_embeddings.weight")
    red, apple = WORDS
    with torch.no_grad():
        table[[red, apple]] = table[[apple, red]]


WORDS = (2417, 6207)
"""The ids of "red" and "apple" in BERT's vocabulary."""
SIZES = (1.1, 1.02, 1.005, 1.002)
"""What a row of a kernel is multiplied with, to see how small a fault is found."""
SMALL = "as small as the rounding of half precision; only reading the weights back finds it"


def scaled(what: str, stage: str, planted: Callable[[Callable[[Tensor], Tensor]], Plant]) -> tuple[Fault, ...]:
    """One fault per size: `what` times a factor, where `planted` changes the weight."""
    return tuple(
        Fault(f"{what} times {each}", stage, planted(row_times(each)), SMALL if each < 1.05 else "") for each in SIZES
    )


DENOISE = (
    Fault("time table one step late", "denoise", on("times", rolled)),
    Fault("update one step late", "denoise", on("update.m00", rolled)),
    Fault("one coefficient of the update times 1.01", "denoise", on("update.m01", row_times(1.01))),
    Fault("a bias with the other sign", "denoise", in_resnet("conv1.bias", torch.neg)),
    Fault("a bias lost", "denoise", in_resnet("conv1.bias", torch.zeros_like)),
    Fault("gamma of a group norm lost", "denoise", in_resnet("norm1.weight", torch.ones_like)),
    Fault("epsilon of a group norm 1e-2", "denoise", epsilon(1e-2)),
    Fault("height and width of a kernel swapped", "denoise", in_resnet("conv1.weight", lambda w: w.transpose(2, 3))),
    Fault("a kernel one pixel to the left", "denoise", in_resnet("conv1.weight", lambda w: w.roll(1, 3))),
    Fault("time embedding of a block lost", "denoise", in_resnet("time_emb_proj.weight", torch.zeros_like)),
    Fault("queries and keys swapped", "denoise", swapped_queries),
    Fault("halves of GEGLU swapped", "denoise", swapped_gates),
    Fault("one head of attention lost", "denoise", one_head_less),
    Fault("skip connection in the wrong order", "denoise", skip_first),
    *scaled("a row of a kernel", "denoise", lambda change: in_resnet("conv1.weight", change)),
    Fault("one weight is NaN", "denoise", in_resnet("conv1.weight", nan)),
)
DECODE = (
    Fault("red and green swapped", "decode_image", on("decoder.conv_out.weight", first_two)),
    *scaled("a row of the last kernel", "decode_image", lambda change: on("decoder.conv_out.weight", change)),
    Fault("a bias of the last layer lost", "decode_image", on("decoder.conv_out.bias", torch.zeros_like)),
    Fault("gamma of a group norm lost", "decode_image", on("up_blocks.0.resnets.0.norm2.weight", torch.ones_like)),
    Fault("kernel upside down", "decode_image", on("decoder.conv_in.weight", lambda w: w.flip(2))),
)
TEXT = (
    Fault("positions one late", "encode_text", on("position_embeddings.weight", rolled)),
    Fault("two rows of the vocabulary swapped", "encode_text", swap_words),
    Fault("a bias with the other sign", "encode_text", on("query.bias", torch.neg)),
    Fault("last norm's gamma lost", "encode_text", on("output.LayerNorm.weight", torch.ones_like)),
    Fault("one weight is NaN", "encode_text", on("value.weight", nan)),
)
FAULTS = (*TEXT, *DENOISE, *DECODE)
