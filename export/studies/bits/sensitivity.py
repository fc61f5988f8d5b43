"""How much the compression of each weight changes the U-Net's predictions, on states of real drawings.

One weight at a time is replaced, in the PyTorch module, by the decoded compressed weight, and the network runs on the
recorded steps.  Errors of different weights are almost uncorrelated, so their energies add up.  The search (search.py)
relies on that; the finished plan is measured as a whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.compression.recipes import NONE, Recipe, fitting
from export.coreml.compress.encode import encode
from export.coreml.compress.layers import WeightLayer, opset_of
from export.coreml.compress.rewrite import places
from export.coreml.compress.verify import decode
from export.coreml.package_archive import CoreMLPackage
from export.denoise import Denoise
from export.parity.trajectories import Trajectory, latents_of
from mobile_diffusion.decibels import share_db
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import ConfigError, ExportError
from mobile_diffusion.progress import Progress
from mobile_diffusion.sampler import combine_guidance

AT_ONCE = 2**13
"""Latent pixels per call of the network: 32 states of 16 x 16, two of 64 x 64."""
KEPT_BYTES = 2**29
"""Memory for decoded weights, which a search needs again and again."""
Weights = Mapping[str, NDArray[np.float16]]


@dataclass(frozen=True, eq=False)
class States:
    """Inputs of the network at n recorded steps."""

    latents: Tensor
    """(n, C, h, w)."""
    steps: Tensor
    """(n,), int32."""
    context: Tensor
    """(n, L, D)."""
    null_context: Tensor | None
    guidance: float
    pooled: Tensor | None = None
    """(n, P) for SDXL, and the same of the null text."""
    null_pooled: Tensor | None = None

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory], settings: DrawSettings, per_step: int = 1) -> States:
        """`per_step` states of every step, from other drawings at each step; raises `ConfigError` for none."""
        if not trajectories or per_step < 1:
            raise ConfigError(f"states: expected drawings and states of each, got {len(trajectories)} and {per_step}")
        chosen = [
            (drawn, step)
            for number, drawn in enumerate(trajectories)
            for step in range(drawn.steps)
            if (number - step) % len(trajectories) < per_step
        ]

        def texts(name: str) -> Tensor | None:
            given = [drawn.conditions(settings).get(name) for drawn, _ in chosen]
            found = [each for each in given if each is not None]
            return torch.from_numpy(np.concatenate(found)) if found else None

        context = texts("context")
        assert context is not None
        latents = np.concatenate([latents_of(drawn.states[step : step + 1], settings) for drawn, step in chosen])
        return cls(
            torch.from_numpy(latents),
            torch.tensor([drawn.row(step, settings) for drawn, step in chosen], dtype=torch.int32),
            context,
            texts("null_context"),
            trajectories[0].guidance,
            texts("pooled"),
            texts("null_pooled"),
        )

    def parts(self) -> Iterator[States]:
        """The states in groups that fit in memory."""
        size = max(1, AT_ONCE // (self.latents.shape[-1] * self.latents.shape[-2]))
        for start in range(0, len(self.steps), size):
            part = slice(start, start + size)
            null, pooled, null_pooled = (
                None if each is None else each[part] for each in (self.null_context, self.pooled, self.null_pooled)
            )
            yield States(
                self.latents[part], self.steps[part], self.context[part], null, self.guidance, pooled, null_pooled
            )


@torch.inference_mode()
def predictions(module: Denoise, states: States) -> Tensor:
    """The network's output with guidance, (n, C, h, w)."""
    return torch.cat([_predicted(module, part) for part in states.parts()])


def _predicted(module: Denoise, states: States) -> Tensor:
    shown = states.latents
    if module.input_scale is not None:
        shown = shown * module.input_scale.index_select(0, states.steps)[:, None, None, None]
    time = module.times.index_select(0, states.steps)
    predict = module.unet.predict
    if states.null_context is None:
        return predict(shown, time, states.context, states.pooled)
    both = torch.cat([states.null_context, states.context])
    pooled = None if states.pooled is None else torch.cat([states.null_pooled, states.pooled])  # type: ignore[list-item]
    output = predict(shown.repeat(2, 1, 1, 1), time.repeat(2, 1), both, pooled)
    without, with_prompt = output.chunk(2)
    return combine_guidance(without, with_prompt, torch.tensor([states.guidance]))


def parameters_of(module: nn.Module, layers: Sequence[WeightLayer], weights: Weights) -> dict[str, Tensor]:
    """Weight of the package -> the parameter of the module with the same content, as a flat view.

    Raises:
        ExportError: a weight of the package is in no parameter: a rewrite of the program has changed it.
    """
    tensors = {digest(each.detach().half().numpy()): each for each in module.parameters()}
    found = {}
    for layer in layers:
        key = digest(weights[layer.name])
        if key not in tensors:
            got = f"{layer.name} {layer.shape}, which is none of its parameters"
            raise ExportError(f"expected weights of the checkpoint, got {got}; plan for --compute-units CPU_AND_GPU")
        found[layer.name] = tensors[key].data.view(-1)
    return found


def digest(numbers: NDArray[np.float16]) -> bytes:
    """A hash of the numbers in order; the shape does not matter."""
    return hashlib.blake2b(np.ascontiguousarray(numbers).reshape(-1).view(np.uint8).data, digest_size=16).digest()


@contextmanager
def stored_so(parameter: Tensor, decoded: NDArray[np.float16]) -> Iterator[None]:
    """Let a parameter have decoded numbers inside the block."""
    before = parameter.clone()
    parameter.copy_(torch.from_numpy(decoded.reshape(-1)))
    try:
        yield
    finally:
        parameter.copy_(before)


class Bench:
    """A module and the weights of its package, for trying compressed weights."""

    def __init__(self, module: Denoise, package: CoreMLPackage, layers: Sequence[WeightLayer], states: States) -> None:
        values = places(package.spec)
        self.module, self.states, self.layers = module, states, {layer.name: layer for layer in layers}
        self.opset = opset_of(package.spec)
        self.weights = {layer.name: package.value(values[layer.place]) for layer in layers}
        self.parameters = parameters_of(module, layers, self.weights)
        self.reference = predictions(module, states)
        self.signal = float(self.reference.double().square().sum())
        self.kept: dict[tuple[str, str], NDArray[np.float16]] = {}

    def decoded(self, name: str, recipe: Recipe) -> NDArray[np.float16]:
        """A weight, compressed by a recipe and decoded."""
        if recipe.kind == NONE:
            return self.weights[name]
        if (name, recipe.name) in self.kept:
            return self.kept[name, recipe.name]
        made = encode(self.weights[name], self.layers[name], recipe, self.opset).made
        found = decode(made.operation, {field.name: field.numbers for field in made.fields})
        if sum(each.nbytes for each in self.kept.values()) + found.nbytes <= KEPT_BYTES:
            self.kept[name, recipe.name] = found
        return found

    def error(self) -> float:
        """Energy of the error of the module's present predictions, as a share of the signal's energy."""
        return float((predictions(self.module, self.states) - self.reference).double().square().sum()) / self.signal

    def errors(self, recipes: Sequence[Recipe], progress: Progress) -> dict[str, dict[str, float]]:
        """Layer -> recipe (or its replacement) -> error with only this weight compressed."""
        found: dict[str, dict[str, float]] = {}
        for number, (name, layer) in enumerate(self.layers.items()):
            progress("measuring layers one by one", number / len(self.layers))
            choices = {fitting(recipe, layer).name: fitting(recipe, layer) for recipe in recipes}
            found[name] = {key: self._alone(name, recipe) for key, recipe in choices.items()}
        return found

    def _alone(self, name: str, recipe: Recipe) -> float:
        if recipe.kind == NONE:
            return 0.0
        with stored_so(self.parameters[name], self.decoded(name, recipe)):
            return self.error()

    def together(self, recipes: Mapping[str, Recipe]) -> float:
        """SNR of the predictions in dB with every weight stored as its recipe says."""
        with self.compressed(recipes):
            return share_db(self.error())

    @contextmanager
    def compressed(self, recipes: Mapping[str, Recipe]) -> Iterator[None]:
        """Let the module have every weight compressed and decoded inside the block."""
        with ExitStack() as stack:
            for name, parameter in self.parameters.items():
                stack.enter_context(stored_so(parameter, self.decoded(name, recipes[name])))
            yield
