"""Measures the error at a stage's output when one layer is rounded, and chooses how each layer is rounded.

One layer at a time is rounded, and the rest of the graph runs again.  A layer's error is the energy of the change at
the output, relative to the energy of the output.  Errors of different layers are almost uncorrelated, so their energies
add up: for the emoji model's U-Net the sum predicts 31 dB, and all layers together gave 32 dB.  Layers leave static
rounding, the most costly first, until the sum meets a target.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node

from export.executorch.quantize.layers import QuantizedLayer
from export.executorch.quantize.ranges import LayerRanges, Sample
from export.executorch.quantize.rounding import rounded, rounded_at_run_time, rounded_weight
from mobile_diffusion.decibels import share_db, share_of
from mobile_diffusion.errors import ExportError

STATIC, DYNAMIC, FLOAT = "static", "dynamic", "float"
"""Rounded with calibrated ranges; rounded with ranges computed at run time; not rounded."""
GAIN_DB = 3.0
"""Least gain in dB of a dynamic range over a static one for the dynamic one to be chosen."""


@dataclass(frozen=True)
class Choice:
    """How a layer is rounded, and the SNR of the stage's output when only this layer is rounded."""

    way: str
    """STATIC, DYNAMIC or FLOAT."""
    static_db: float | None = None
    dynamic_db: float | None = None
    """The SNR with a dynamic range, in dB; None if it was not measured."""


SMALL_DB = 15.0
"""Margin in dB: a layer whose own SNR exceeds the target by more is never the reason for missing the target."""
Errors = Callable[[QuantizedLayer, str], float]
"""Takes a layer and a way (STATIC or DYNAMIC); returns the error at the output, as a share of the output's energy."""


def choose(layers: Sequence[QuantizedLayer], errors: Errors, target_db: float) -> dict[str, Choice]:
    """Return how each layer is rounded, by operation name: static, unless the sum of all errors misses the target.

    A costly layer uses dynamic ranges if these gain GAIN_DB, and otherwise stays in float.  If the target is still
    missed, the layers that remain the most costly stay in float, too.
    """
    static = {layer.node: errors(layer, STATIC) for layer in layers}
    chosen = {node: Choice(STATIC, share_db(share)) for node, share in static.items()}
    total = sum(static.values())
    for layer in sorted(layers, key=lambda layer: static[layer.node], reverse=True):
        if share_db(total) >= target_db or share_db(static[layer.node]) >= target_db + SMALL_DB:
            break
        share, dynamic = static[layer.node], errors(layer, DYNAMIC)
        helps = share_db(dynamic) >= share_db(share) + GAIN_DB
        chosen[layer.node] = Choice(DYNAMIC if helps else FLOAT, share_db(share), share_db(dynamic))
        total -= share - (dynamic if helps else 0.0)
    costs = {node: cost(choice) for node, choice in chosen.items()}
    for node in sorted(costs, key=lambda node: costs[node], reverse=True):
        if share_db(sum(costs.values())) >= target_db:
            break
        chosen[node], costs[node] = replace(chosen[node], way=FLOAT), 0.0
    return chosen


def cost(choice: Choice) -> float:
    """Return the error of a choice, as a share of the output's energy."""
    left = {STATIC: choice.static_db, DYNAMIC: choice.dynamic_db, FLOAT: None}[choice.way]
    return 0.0 if left is None else share_of(left)


Compute = Callable[[Tensor, Tensor, Callable[[Tensor, Tensor], Tensor]], Tensor]
"""Takes a layer's input, its weight, and the layer as a function of both; returns its output."""


class Rerun(Interpreter):
    """One run of a graph that keeps all values, so that only the part after a changed layer has to run again."""

    def __init__(self, module: GraphModule, sample: Sample) -> None:
        super().__init__(module, garbage_collect_values=False)
        self.nodes = list(module.graph.nodes)
        self.results = _tensors(self.run(*sample.values()))
        self._values = self.env

    def results_with(self, computed: Mapping[str, Compute]) -> list[Tensor]:
        """Return the stage's outputs with some layers, by operation name, computed in another way."""
        self.env = dict(self._values)
        changed: set[Node] = set()
        for node in self.nodes:
            if node.name in computed:
                self.env[node] = self._computed(node, computed[node.name])
            elif changed.isdisjoint(node.all_input_nodes):
                continue
            elif node.op == "output":
                return _tensors(self.run_node(node))
            else:
                self.env[node] = self.run_node(node)
            changed.add(node)
        return self.results

    def _computed(self, node: Node, compute: Compute) -> Tensor:
        x, weight, *rest = self.fetch_args_kwargs_from_env(node)[0]
        operation: Any = node.target
        return compute(x, weight, lambda x, weight: operation(x, weight, *rest))


class LayerErrors:
    """Measures errors over several samples; keeps all values of one run per sample."""

    def __init__(self, module: GraphModule, ranges: Mapping[str, LayerRanges], samples: Sequence[Sample]) -> None:
        """Run the graph on each sample; raises `ExportError` if an output is zero or not finite."""
        self.ranges = ranges
        self.runs = [Rerun(module, sample) for sample in samples]
        self.energies = [_energy(run.results) for run in self.runs]
        if not all(math.isfinite(energy) and energy > 0 for energy in self.energies):
            raise ExportError(f"calibration: expected finite outputs that are not zero, got energies {self.energies}")

    def alone(self, layer: QuantizedLayer, way: str) -> float:
        """Return the error with one layer rounded; an `Errors` function."""
        return self.together({layer: way})

    def together(self, ways: Mapping[QuantizedLayer, str]) -> float:
        """Return the error with several layers rounded, as a share of the output's energy: the mean over samples.

        All samples have the same weight: the output for the empty prompt is small, but each guided step uses it.
        """
        rounding = {layer.node: self._rounding(layer, way) for layer, way in ways.items() if way != FLOAT}
        shares = []
        for run, energy in zip(self.runs, self.energies, strict=True):
            error = _energy([a - b for a, b in zip(run.results_with(rounding), run.results, strict=True)])
            if not math.isfinite(error):
                names = ", ".join(layer.name for layer in ways)
                raise ExportError(f"{names}: expected finite outputs when it is rounded, got an error of {error}")
            shares.append(error / energy)
        return sum(shares) / len(shares)

    def _rounding(self, layer: QuantizedLayer, way: str) -> Compute:
        if way == DYNAMIC:
            return lambda x, weight, run: run(rounded_at_run_time(x, layer.kind), rounded_weight(weight))
        by = self.ranges[layer.node]
        return lambda x, weight, run: rounded(run(rounded(x, by.input), rounded_weight(weight)), by.output)


def activation_bytes(module: GraphModule) -> int:
    """Return the bytes of all values of one run together."""
    values = (node.meta.get("val") for node in module.graph.nodes if node.op == "call_function")
    return sum(value.numel() * value.element_size() for value in values if isinstance(value, Tensor))


def _tensors(output: Any) -> list[Tensor]:
    return [output] if isinstance(output, Tensor) else list(output)


def _energy(tensors: Sequence[Tensor]) -> float:
    return sum(float(tensor.double().square().sum()) for tensor in tensors)
