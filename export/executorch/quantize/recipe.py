"""How a stage is quantized at each precision, and how closely.

"int8" finds ranges of activations on recorded inputs and chooses layer by layer; "int8-dynamic" finds every range when
the program runs, and needs no recording; "int4-dynamic" also stores the linear layers' weights in 4 bits, but for those
of the text encoder, which have 8 dB left in 4 bits and 20 in 8.
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
"""What rounded layers together may cost a stage, by its signal-to-noise ratio: of `denoise` little, because most of its
latents are what it was given, and the network's part of them stands 15 dB lower.  The rounding of weights
alone leaves 24 dB of a MiniLM text encoder, whose hidden layers have a few very large channels."""
LEAST_SAMPLES = 2
RANGE_SAMPLES, COST_SAMPLES = 16, 4
"""How many recorded inputs ranges are found on, and how many the cost of each layer; of a text encoder as many."""
GOLDEN = (5**0.5 - 1) / 2
COST_BYTES = 2 * 1024**3
"""Activations held at most to measure the cost of layers: those of larger stages are not measured, but all static."""


@dataclass(frozen=True)
class Quantized:
    """A stage's program, and what was decided."""

    program: ExportedProgram
    notes: dict[str, Any]
    """For `<stage>.json`: each layer's bits and rounding with its measured cost, and those left in float with why."""


@torch.no_grad()
def static(stage: ExportStage) -> Quantized:
    """8 bits with ranges of activations found on `stage.samples`, but where the range of each input is far better.

    Raises:
        ExportError: there are too few samples, or they are not finite or constant; no layer can be quantized.
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
    """8 bits with every range of activations found when the program runs."""
    module, found = _exported(stage, _rewritten(stage))
    choices = {layer.node: Choice(DYNAMIC) for layer in found.layers}
    return _quantized(stage, module, dict.fromkeys(choices), _notes(found, choices))


@torch.no_grad()
def groupwise(stage: ExportStage) -> Quantized:
    """4 bits for the weights of linear layers in groups along the input, 8 for the others; ranges as `dynamic`."""
    if stage.name == "encode_text":
        return dynamic(stage)
    rewritten = _rewritten(stage, {"gate by two layers"})  # which would leave no linear layer there
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
"""Precision to the function that makes a stage's program."""


def _rewritten(stage: ExportStage, without: Collection[str] = ()) -> nn.Module:
    """The stage's module with the rewrites that suit layers in 8 bits, and large tables rounded."""
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
    """The stage's samples with their tensors in the order of its inputs, checked."""
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
        raise ExportError(f"{stage.name}: expected different inputs to calibrate on, got {len(samples)} that are equal")
    return samples


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """At most `count` of them, by the golden ratio: of denoise, over prompts and steps alike."""
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
