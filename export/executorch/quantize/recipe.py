"""How a stage is quantized at each precision.

"int8" calibrates the ranges of activations on recorded inputs and chooses the rounding per layer.  "int8-dynamic"
computes each range at run time and needs no recorded inputs.  "int4-dynamic" also stores the weights of linear layers
in 4 bits, except in the text encoder, which has 8 dB with 4-bit weights and 20 dB with 8-bit weights.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from export.executorch.quantize.annotate import Roundings, rounded_graph
from export.executorch.quantize.embedding import round_embeddings
from export.executorch.quantize.groupwise import GROUP, group_weights
from export.executorch.quantize.layers import Found, find_layers
from export.executorch.quantize.ranges import Sample, find_ranges
from export.executorch.quantize.sensitivity import (
    DYNAMIC,
    FLOAT,
    STATIC,
    Choice,
    LayerErrors,
    activation_bytes,
    choose,
)
from export.rewrites.xnnpack import REWRITES, rewrite
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError

TARGETS_DB = {"encode_text": 26.0, "denoise": 44.0}
TARGET_DB = 36.0
"""Target for a stage's signal-to-noise ratio with all its layers rounded.  It is high because the output of `denoise`
mostly repeats its input: the network's part of the output is 15 dB lower.  A MiniLM text encoder misses the target: its
hidden layers have a few very large channels, and rounding the weights alone leaves 24 dB."""
LEAST_SAMPLES = 2
RANGE_SAMPLES, COST_SAMPLES = 16, 4
"""Number of recorded inputs for calibrating ranges, and for measuring the cost of each layer."""
GOLDEN = (5**0.5 - 1) / 2
COST_BYTES = 2 * 1024**3
"""Most bytes of activations for measuring the cost of layers; a larger stage uses static ranges without measuring."""


@dataclass(frozen=True)
class Quantized:
    """A quantized stage: its program, and how each layer was rounded."""

    program: ExportedProgram
    notes: dict[str, Any]
    """Notes for `<stage>.json`: bits, rounding and measured cost per layer, and why other layers stay in float."""


@torch.no_grad()
def static(stage: ExportStage) -> Quantized:
    """Return the stage in 8 bits, with ranges of activations calibrated on `stage.samples`.

    A layer uses dynamic ranges where these are much better, and stays in float where rounding costs too much.

    Raises:
        ExportError: there are too few samples, the samples are not finite or all equal, or no layer can be quantized.
    """
    samples = _samples(stage)
    module, found = _exported(stage, _rewritten(stage))
    ranges = find_ranges(module, found.layers, _spread(samples, RANGE_SAMPLES))
    wanted = RANGE_SAMPLES if stage.name == "encode_text" else COST_SAMPLES
    held = min(wanted, COST_BYTES // activation_bytes(module))
    if held:
        measured = LayerErrors(module, ranges, _spread(samples, held))
        choices = choose(found.layers, measured.alone, TARGETS_DB.get(stage.name, TARGET_DB))
    else:
        choices = {layer.node: Choice(STATIC) for layer in found.layers}
    ways = {
        node: ranges[node] if choice.way == STATIC else None for node, choice in choices.items() if choice.way != FLOAT
    }
    return _quantized(stage, module, ways, _notes(found, choices))


@torch.no_grad()
def dynamic(stage: ExportStage) -> Quantized:
    """Return the stage in 8 bits, with ranges of activations computed at run time."""
    module, found = _exported(stage, _rewritten(stage))
    choices = {layer.node: Choice(DYNAMIC) for layer in found.layers}
    return _quantized(stage, module, dict.fromkeys(choices), _notes(found, choices))


@torch.no_grad()
def groupwise(stage: ExportStage) -> Quantized:
    """Return the stage with group-wise 4-bit weights in linear layers, 8-bit weights elsewhere, and dynamic ranges."""
    if stage.name == "encode_text":
        return dynamic(stage)
    rewritten = _rewritten(stage, {"gate by two layers"})  # this rewrite would leave no linear layer there
    _, every = _exported(stage, rewritten)
    grouped = group_weights(rewritten, {layer.name for layer in every.layers if layer.kind == "linear"})
    module = torch.export.export(rewritten, (), stage.example()).module()
    rest = find_layers(module)
    choices = {layer.node: Choice(DYNAMIC) for layer in rest.layers}
    notes = _notes(rest, choices)
    notes["layers"] |= {name: {"bits": 4, "group": GROUP, "range": DYNAMIC} for name in grouped}
    return _quantized(stage, module, dict.fromkeys(choices), notes)


PROGRAMS: dict[str, Callable[[ExportStage], Quantized]] = {
    "int8": static,
    "int8-dynamic": dynamic,
    "int4-dynamic": groupwise,
}
"""Maps a precision to the function that returns a stage's program."""


def _rewritten(stage: ExportStage, without: Collection[str] = ()) -> nn.Module:
    """Return the stage's module with the rewrites that suit 8-bit layers, and with large embedding tables rounded."""
    names = [name for name in REWRITES if name not in without]
    return round_embeddings(rewrite(stage.module, names))


def _exported(stage: ExportStage, module: nn.Module) -> tuple[GraphModule, Found]:
    graph_module = torch.export.export(module, (), stage.example()).module()
    found = find_layers(graph_module)
    if not found.layers:
        left = "; ".join(f"{name} {why}" for name, why in found.left.items())
        raise ExportError(f"{stage.name}: expected layers that can be quantized, got none: {left or 'it has none'}")
    return graph_module, found


def _quantized(stage: ExportStage, module: GraphModule, roundings: Roundings, notes: dict[str, Any]) -> Quantized:
    converted = rounded_graph(module, roundings, stage.example())
    return Quantized(torch.export.export(converted, (), stage.example()), {"quantization": notes})


def _samples(stage: ExportStage) -> list[Sample]:
    """Return the stage's checked samples, each with its tensors in the order of the stage's inputs."""
    names = [spec.name for spec in stage.inputs]
    samples: list[Sample] = [{name: sample[name] for name in names} for sample in stage.samples]
    if len(samples) < LEAST_SAMPLES:
        raise ExportError(
            f"{stage.name}: expected at least {LEAST_SAMPLES} recorded inputs to calibrate on, got {len(samples)}"
        )
    for name in names:
        values = torch.stack([sample[name] for sample in samples])
        if values.is_floating_point() and not torch.isfinite(values).all():
            raise ExportError(f"{stage.name}: expected finite inputs to calibrate on, got NaN or infinity in {name}")
    first = samples[0]
    if all(torch.equal(sample[name], first[name]) for sample in samples for name in names):
        raise ExportError(f"{stage.name}: expected different inputs to calibrate on, got {len(samples)} equal ones")
    return samples


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Return at most `count` samples, spread by the golden ratio: for `denoise`, over both prompts and steps."""
    if len(samples) <= count:
        return [*samples]
    return [samples[int((number + 0.5) * GOLDEN % 1.0 * len(samples))] for number in range(count)]


def _notes(found: Found, choices: dict[str, Choice]) -> dict[str, Any]:
    layers = {layer.name: _entry(choices[layer.node]) for layer in found.layers if choices[layer.node].way != FLOAT}
    left = dict(found.left)
    for layer in found.layers:
        choice = choices[layer.node]
        if choice.way == FLOAT:
            own = "" if choice.dynamic_db is None else f", and {choice.dynamic_db:.1f} with its own range"
            left[layer.name] = f"alone leaves {choice.static_db:.1f} dB{own}"
    return {"layers": layers, "float": left}


def _entry(choice: Choice) -> dict[str, Any]:
    measured = {name: round(db, 1) for name, db in asdict(choice).items() if name != "way" and db is not None}
    return {"bits": 8, "range": choice.way, **measured}
