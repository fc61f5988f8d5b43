"""The stage `denoise`: one step of the schedule, with the solver's coefficients and time embeddings as tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from mobile_diffusion.adapted import adapted
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.control_net import ControlNet, total
from mobile_diffusion.sampler import combine_edit, combine_guidance
from mobile_diffusion.schedule import StepTable, step_table
from mobile_diffusion.t2i_adapter import steering
from mobile_diffusion.unet import embed_steps


class LinearUpdate(nn.Module):
    """One solver step by tables: s' = M_i (s, m) + n_i z.

    s = (latents, memory) is the state, m the network's output, z fresh noise, and i the step; `StepTable`
    (mobile_diffusion/schedule/table.py) has M and n.  The graph omits coefficients that are zero at every step.
    """

    def __init__(self, table: StepTable) -> None:
        super().__init__()
        self.rows = table.memory + 1
        matrix = torch.tensor(table.update, dtype=torch.float64)  # (N, K, K + 1)
        for row in range(self.rows):
            for column in range(self.rows + 1):
                self._register(f"m{row}{column}", matrix[:, row, column])
        self._register("noise", torch.tensor(table.noise, dtype=torch.float64))

    def _register(self, name: str, column: Tensor) -> None:
        if bool(column.any()):
            self.register_buffer(name, column.float())

    def forward(self, state: Sequence[Tensor], output: Tensor, step: Tensor, noise: Sequence[Tensor]) -> list[Tensor]:
        """Return the next state: K tensors (1, C, h, w).

        `state` has K tensors (1, C, h, w), `output` is (1, C, h, w), `step` int32 (1,); `noise` has one tensor
        (1, C, h, w) for a stochastic solver and none otherwise.
        """
        columns = (*state, output)
        result = [self._row(row, columns, step) for row in range(self.rows)]
        for tensor in noise:
            result[0] = result[0] + self.get_buffer("noise").index_select(0, step) * tensor
        return result

    def _row(self, row: int, columns: Sequence[Tensor], step: Tensor) -> Tensor:
        present = dict(self.named_buffers())
        terms = [
            present[f"m{row}{column}"].index_select(0, step) * tensor
            for column, tensor in enumerate(columns)
            if f"m{row}{column}" in present
        ]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total


class ControlStep(nn.Module):
    """A ControlNet at one step, with its time embeddings as a table."""

    times: Tensor

    def __init__(self, config: ModelConfig, net: ControlNet, timesteps: Tensor) -> None:
        super().__init__()
        self.net = net.without_encoder().for_size((config.height, config.width))
        self.register_buffer("times", embed_steps(config, self.net, timesteps))  # (N, time_width)

    def forward(
        self, latents: Tensor, step: Tensor, context: Tensor, pooled: Tensor | None, feature: Tensor, scale: Tensor
    ) -> list[Tensor]:
        """latents (B, C, h, w), step (1,), context (B, L, D), feature (1, C1, h, w), scale (1,) -> residuals."""
        time = self.times.index_select(0, step)
        return [scale * each for each in self.net.residuals(latents, feature, time, context, pooled)]


@dataclass(frozen=True, eq=False)
class Hints:
    """What steers one step besides the text."""

    step: Tensor
    """(1,)."""
    features: Tensor
    """(n, K, h, w), of `encode_hint`."""
    scales: Tensor
    """(n,)."""

    @classmethod
    def of(cls, step: Tensor, features: Tensor | None, scales: Tensor | None) -> Hints | None:
        """None for a model that reads no hints."""
        return None if features is None or scales is None else cls(step, features, scales)


class Denoise(nn.Module):
    """One step of the sampler.

    Classifier-free guidance ("cfg") evaluates the network twice; a guidance-distilled network is evaluated once.
    """

    times: Tensor
    input_scale: Tensor | None
    update: LinearUpdate

    def __init__(self, config: ModelConfig, unet: nn.Module, controls: Iterable[nn.Module] | None = None) -> None:
        super().__init__()
        self.channels, self.maps = config.latent_shape[1], config.steering_maps
        table = step_table(config.schedule)
        self.update = LinearUpdate(table)
        with torch.no_grad():
            network, self.factors = adapted(unet, config.adapters)
            self.unet = network.for_size((config.height, config.width))  # type: ignore[operator]
            times = embed_steps(config, self.unet, torch.tensor(table.timesteps))
            self.register_buffer("times", times)  # (N, time_width)
            timesteps, nets = torch.tensor(table.timesteps), cast(Iterable[ControlNet], controls or ())
            self.controls = nn.ModuleList(ControlStep(config, net, timesteps) for net in nets)
        scales = torch.tensor(table.inputs, dtype=torch.float64)
        self.register_buffer("input_scale", None if bool((scales == 1).all()) else scales.float())

    def forward(
        self,
        latents: Tensor,
        step: Tensor,
        context: Tensor,
        pooled: Tensor | None = None,
        null_context: Tensor | None = None,
        null_pooled: Tensor | None = None,
        guidance: Tensor | None = None,
        memory: Tensor | None = None,
        noise: Tensor | None = None,
        mask: Tensor | None = None,
        masked_latents: Tensor | None = None,
        hint_features: Tensor | None = None,
        hint_scales: Tensor | None = None,
        adapters: Tensor | None = None,
        adapter_scales: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, ...]:
        """Return the latents (1, C, h, w) of the next step, with the memory (1, M * C, h, w) if the solver has one.

        latents, noise and masked_latents (1, C, h, w), mask (1, 1, h, w), step int32 (1,), both contexts (1, L, D),
        both pooled texts (1, P), guidance (1,),
        hint_features (n, K, h, w), hint_scales (n,), adapters (n, r, P) and adapter_scales (n,).  Pass the optional
        inputs exactly if `denoise_signature` lists them.
        """
        self.factors.set(adapters, adapter_scales)
        shown = self._shown(latents, step, mask, masked_latents)
        hints = Hints.of(step, hint_features, hint_scales)
        time = self.times.index_select(0, step)  # (1, time_width)
        if null_context is None or guidance is None:
            output = self._predict(shown, time, context, pooled, hints)
        else:
            both = None if pooled is None or null_pooled is None else torch.cat([null_pooled, pooled])  # (2, P)
            output = self._guided(shown, time, torch.cat([null_context, context]), both, guidance, hints)
        state = self._next(latents, step, output, memory, noise)
        return state if len(state) > 1 else state[0]

    def _predict(
        self, latents: Tensor, time: Tensor, context: Tensor, pooled: Tensor | None, hints: Hints | None
    ) -> Tensor:
        """Return the U-Net's output (B, C, h, w), steered by the hints if there are any."""
        if hints is None:
            return self.unet.predict(latents, time, context, pooled)
        if self.maps:
            maps = steering(hints.features, hints.scales, self.maps)
            return self.unet.predict(latents, time, context, pooled, maps=maps)
        found = [
            control(latents, hints.step, context, pooled, hints.features[n : n + 1], hints.scales[n : n + 1])
            for n, control in enumerate(self.controls)
        ]
        return self.unet.predict(latents, time, context, pooled, total(found))

    def _shown(
        self, latents: Tensor, step: Tensor, mask: Tensor | None = None, masked_latents: Tensor | None = None
    ) -> Tensor:
        """Return what the network reads of the latents: scaled for the step, and with the mask's channels if any."""
        shown = latents if self.input_scale is None else latents * self.input_scale.index_select(0, step)
        return shown if mask is None or masked_latents is None else torch.cat([shown, mask, masked_latents], dim=1)

    def _next(
        self, latents: Tensor, step: Tensor, output: Tensor, memory: Tensor | None, noise: Tensor | None
    ) -> tuple[Tensor, ...]:
        """Return the latents of the next step, and the memory if the solver has one."""
        state = [latents, *self._remembered(memory)]
        latents, *rest = self.update(state, output, step, [] if noise is None else [noise])
        return (latents, torch.cat(rest, dim=1) if len(rest) > 1 else rest[0]) if rest else (latents,)

    def _guided(
        self,
        latents: Tensor,
        time: Tensor,
        contexts: Tensor,
        pooled: Tensor | None,
        guidance: Tensor,
        hints: Hints | None = None,
    ) -> Tensor:
        """Return the guided output (1, C, h, w) of two evaluations; contexts (2, L, D), pooled (2, P)."""
        both = torch.cat([latents, latents])
        predicted = self._predict(both, time, contexts, pooled, hints)
        return combine_guidance(predicted[:1], predicted[1:], guidance)

    def _remembered(self, memory: Tensor | None) -> list[Tensor]:
        """Split the memory (1, M * C, h, w) into M tensors (1, C, h, w)."""
        size = self.channels
        return (
            [] if memory is None else [memory[:, row * size : (row + 1) * size] for row in range(self.update.rows - 1)]
        )


class DenoiseOnce(Denoise):
    """One evaluation of a step whose guidance is a choice of its own; a guided step takes two calls."""

    def forward(  # type: ignore[override]
        self,
        latents: Tensor,
        step: Tensor,
        context: Tensor,
        null_output: Tensor,
        guidance: Tensor,
        pooled: Tensor | None = None,
        memory: Tensor | None = None,
        noise: Tensor | None = None,
        mask: Tensor | None = None,
        masked_latents: Tensor | None = None,
        hint_features: Tensor | None = None,
        hint_scales: Tensor | None = None,
        adapters: Tensor | None = None,
        adapter_scales: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Return what `Denoise` returns, and the network's output (1, C, h, w) for this context.

        `null_output` (1, C, h, w) is that output for the null text; at a `guidance` (1,) of 1 it has no effect.
        """
        self.factors.set(adapters, adapter_scales)
        shown = self._shown(latents, step, mask, masked_latents)
        time = self.times.index_select(0, step)
        output = self._predict(shown, time, context, pooled, Hints.of(step, hint_features, hint_scales))
        guided = combine_guidance(null_output, output, guidance)
        return (*self._next(latents, step, guided, memory, noise), output)


class DenoiseEdit(Denoise):
    """One step of a network that edits a picture, with three evaluations where it is guided."""

    def __init__(self, config: ModelConfig, unet: nn.Module, controls: Iterable[nn.Module] | None = None) -> None:
        super().__init__(config, unet, controls)
        self.unscale = 1 / config.autoencoder.scaling_factor

    def forward(  # type: ignore[override]
        self,
        latents: Tensor,
        step: Tensor,
        context: Tensor,
        image_latents: Tensor,
        null_context: Tensor | None = None,
        guidance: Tensor | None = None,
        image_guidance: Tensor | None = None,
        memory: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, ...]:
        """Return what `Denoise` returns.

        `image_latents` (1, C, h, w) are those of the picture by `encode_image`, `image_guidance` (1,) is the scale of
        the guidance towards it.
        """
        shown, time = self._shown(latents, step), self.times.index_select(0, step)
        picture = image_latents * self.unscale
        if null_context is None or guidance is None or image_guidance is None:
            output = self.unet.predict(torch.cat([shown, picture], dim=1), time, context)
        else:
            pictures = torch.cat([torch.zeros_like(picture), picture, picture])  # (3, C, h, w)
            contexts = torch.cat([null_context, null_context, context])  # (3, L, D)
            predicted = self.unet.predict(torch.cat([torch.cat([shown] * 3), pictures], dim=1), time, contexts)
            output = combine_edit(predicted[:1], predicted[1:2], predicted[2:], guidance, image_guidance)
        state = self._next(latents, step, output, memory, noise)
        return state if len(state) > 1 else state[0]
