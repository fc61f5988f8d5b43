"""The PyTorch reference that every artifact is compared with: the networks themselves compute the stages.

Float32, with any number of steps.  The loop from prompt to picture is drawing.py, the same as for an artifact.  The
exported graphs (export/stages.py) contain the same update as constants; a test compares the two.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobile_diffusion.adapted import adapted
from mobile_diffusion.adapters import scaled
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.control_net import ControlNet, total
from mobile_diffusion.drawing import DrawSettings, Hint, OnStep, Start, draw, encode
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.guidance import NULL_PROMPT, check_guidance
from mobile_diffusion.hint_nets import HintNets
from mobile_diffusion.quoting import quoted
from mobile_diffusion.sampler import advance, combine_edit, combine_guidance
from mobile_diffusion.schedule import step_table
from mobile_diffusion.t2i_adapter import steering
from mobile_diffusion.unet import UNetEncoder, embed_steps

NO_ADAPTERS: Mapping[str, float] = MappingProxyType({})


class Pipeline:
    """Draws with PyTorch; the stages are methods over tensors, and `run` takes and returns numpy arrays.

    >>> from mobile_diffusion import Pipeline, open_checkpoint, shipped_model
    >>> pipeline = Pipeline(open_checkpoint(shipped_model()))
    >>> pixels = pipeline.generate("red apple, 3d", seed=3)
    >>> pixels.shape, pixels.dtype
    ((128, 128, 3), dtype('uint8'))
    """

    def __init__(self, model: Model, steps: int | None = None) -> None:
        """`steps` defaults to the model's own; raises ConfigError if its schedule cannot have so many."""
        self.model = model
        self.settings = DrawSettings.of(model.config, steps)
        self.table = step_table(model.config.schedule, steps)
        self.device = next(model.unet.parameters()).device
        self.unet, self.factors = adapted(model.unet, model.config.adapters)
        self.times = self._embed_times(self.unet)  # (N, E)
        self.control_times = [self._embed_times(each) for each in self.controls]  # (N, E) each
        self._stages: dict[str, Callable[..., dict[str, Tensor]]] = {
            "encode_text": lambda **arrays: self.encode_text(**arrays),
            "denoise": lambda step, **arrays: self.denoise(step=int(step), **arrays),
            "decode_image": lambda latents: {"image": self.decode_image(latents)},
            "encode_image": lambda image: {"latents": self.encode_image(image)},
            "encode_hint": lambda hints: {"hint_features": self.encode_hint(hints)},
        }

    @classmethod
    def from_model(cls, model: Model, steps: int | None = None) -> Pipeline:
        """A pipeline that draws with a model."""
        return cls(model, steps)

    @torch.inference_mode()
    def _embed_times(self, network: UNetEncoder) -> Tensor:
        """The time embedding of every step, with what else a network embeds: guidance scale, picture size."""
        timesteps = torch.tensor(self.table.timesteps, device=self.device)
        return embed_steps(self.model.config, network, timesteps)

    @property
    def controls(self) -> Sequence[ControlNet]:
        """The model's ControlNets."""
        return () if self.model.controls is None else self.model.controls.control_nets

    @torch.inference_mode()
    def encode_text(self, **tokens: Tensor) -> dict[str, Tensor]:
        """What `denoise` reads of a text; tokens (1, L) or (1, 2, L), and the mask (1, L) of an encoder that has one.

        "context" (1, L, D) float32, which is zero at masked positions, and for SDXL "pooled" (1, P).
        """
        return self.model.text_encoder.conditions(**tokens)

    @torch.inference_mode()
    def denoise(
        self,
        latents: Tensor,
        step: int,
        context: Tensor,
        null_context: Tensor | None = None,
        guidance: Tensor | float = 1.0,
        memory: Tensor | None = None,
        noise: Tensor | None = None,
        pooled: Tensor | None = None,
        null_pooled: Tensor | None = None,
        null_output: Tensor | None = None,
        mask: Tensor | None = None,
        masked_latents: Tensor | None = None,
        image_latents: Tensor | None = None,
        image_guidance: Tensor | float = 1.0,
        hint_features: Tensor | None = None,
        hint_scales: Tensor | None = None,
        adapters: Tensor | None = None,
        adapter_scales: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """One step: latents (1, C, h, w), step 0..N-1, contexts (1, L, D) -> "latents" and, if any, "memory".

        `pooled` (1, P) and its counterpart are for SDXL.  With `null_output` (1, C, h, w), the network's output for the
        null text, it is evaluated for `context` alone, and "output" is the result.  `mask` (1, 1, h, w) and
        `masked_latents` (1, C, h, w) are for an inpainting network, `image_latents` (1, C, h, w) for an editing one.
        `hint_features` (n, K, h, w) and `hint_scales` (n,) are for n ControlNets or T2I-Adapters, `adapters` (n, r, P)
        and `adapter_scales` (n,) for n adapters.
        """
        self.factors.set(adapters, adapter_scales)
        if not 0 <= step < len(self.table):
            raise ConfigError(f"step: expected an integer from 0 to {len(self.table) - 1}, got {step}")
        shown, time = self.table.inputs[step] * latents, self.times[step : step + 1]
        hints = None if hint_features is None or hint_scales is None else (step, hint_features, hint_scales)
        if mask is not None and masked_latents is not None:
            shown = torch.cat([shown, mask, masked_latents], dim=1)
        if image_latents is not None:
            output = self._edit(shown, image_latents, time, context, null_context, guidance, image_guidance)
        elif null_context is None:
            output = self._predict(shown, time, context, pooled, hints)
        else:
            both = torch.cat([null_context, context]), _joined(null_pooled, pooled)
            predicted = self._predict(torch.cat([shown, shown]), time, *both, hints)
            output = combine_guidance(predicted[:1], predicted[1:], guidance)
        remembered = [] if memory is None else list(memory.chunk(self.table.memory, dim=1))
        guided = output if null_output is None else combine_guidance(null_output, output, guidance)
        latents, *rest = advance(self.table, step, [latents, *remembered], guided, noise)
        own = {} if null_output is None else {"output": output}
        return {"latents": latents, **({"memory": torch.cat(rest, dim=1)} if rest else {}), **own}

    def _predict(
        self,
        shown: Tensor,
        time: Tensor,
        context: Tensor,
        pooled: Tensor | None,
        hints: tuple[int, Tensor, Tensor] | None,
    ) -> Tensor:
        """The U-Net's output (B, C, h, w), steered by the step's hints if there are any."""
        if hints is None:
            return self.unet.predict(shown, time, context, pooled)
        step, features, scales = hints
        maps = self.model.config.steering_maps
        if maps:
            return self.unet.predict(shown, time, context, pooled, maps=steering(features, scales, maps))
        found = []
        for net, times, feature, scale in zip(self.controls, self.control_times, features, scales, strict=True):
            own = net.residuals(shown, feature[None], times[step : step + 1], context, pooled)
            found.append([scale * each for each in own])
        return self.unet.predict(shown, time, context, pooled, total(found))

    def _edit(
        self,
        shown: Tensor,
        image_latents: Tensor,
        time: Tensor,
        context: Tensor,
        null_context: Tensor | None,
        guidance: Tensor | float,
        image_guidance: Tensor | float,
    ) -> Tensor:
        """The output (1, C, h, w) of an editing network, which reads the picture's latents as they were unscaled."""
        picture = image_latents / self.model.config.autoencoder.scaling_factor
        if null_context is None:
            return self.model.unet.predict(torch.cat([shown, picture], dim=1), time, context)
        pictures = torch.cat([torch.zeros_like(picture), picture, picture])  # (3, C, h, w)
        contexts = torch.cat([null_context, null_context, context])
        inputs = torch.cat([shown.expand_as(pictures), pictures], dim=1)
        predicted = self.model.unet.predict(inputs, time, contexts)
        return combine_edit(predicted[:1], predicted[1:2], predicted[2:], guidance, image_guidance)

    @torch.inference_mode()
    def decode_image(self, latents: Tensor) -> Tensor:
        """latents (1, C, h, w) -> image (1, 3, H, W) in [0, 1]."""
        return (self.model.autoencoder.to_images(latents) / 2 + 0.5).clamp(0, 1)

    @torch.inference_mode()
    def encode_image(self, image: Tensor) -> Tensor:
        """image (1, 3, H, W) in [0, 1] -> latents (1, C, h, w)."""
        return self.model.autoencoder.to_latents(image * 2 - 1)

    @torch.inference_mode()
    def encode_hint(self, hints: Tensor) -> Tensor:
        """hints (n, 3, H, W) in [0, 1], one per network that reads one -> (n, K, h, w)."""
        height, width = self.model.config.latent_shape[2:]
        return cast(HintNets, self.model.controls).encode(hints, (height, width))

    def run(self, stage: str, /, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Run one stage over numpy arrays, as a runner of artifacts does; raises ConfigError for an unknown stage."""
        if stage not in self._stages:
            raise ConfigError(f"stage: expected one of {', '.join(self._stages)}, got {quoted(stage)}")
        tensors = {name: torch.tensor(array, device=self.device) for name, array in arrays.items()}
        return {name: output.cpu().numpy() for name, output in self._stages[stage](**tensors).items()}

    def encode(self, prompt: str) -> Tensor:
        """The context (1, L, D) of a prompt; the empty prompt is the null condition."""
        return torch.tensor(encode(self.run, self.model.tokenizer, self.settings, prompt), device=self.device)

    def generate(
        self,
        prompt: str,
        seed: int = 0,
        guidance: float | None = None,
        steps: int | None = None,
        on_step: OnStep | None = None,
        negative: str = NULL_PROMPT,
        start: Start | None = None,
        syntax: str = "plain",
        hints: Sequence[Hint] = (),
        adapters: Mapping[str, float] = NO_ADAPTERS,
    ) -> NDArray[np.uint8]:
        """Draw a prompt as (H, W, 3) uint8 in any number of `steps`; arguments and errors as in `draw`.

        `adapters` are scales by name; the others are off.
        """
        asked = (negative, start, syntax, hints)
        switched = scaled(self.model.adapters, adapters)
        if steps is not None and steps != self.settings.steps:
            return Pipeline(self.model, steps).generate(prompt, seed, guidance, None, on_step, *asked, adapters)
        settings = self._settings_at(guidance)
        return draw(self.run, self.model.tokenizer, settings, prompt, seed, guidance, on_step, *asked, switched)

    def _settings_at(self, guidance: float | None) -> DrawSettings:
        """The settings at a guidance scale: unlike an export, PyTorch evaluates once or twice as the scale needs."""
        if guidance is None or self.settings.guidance_kind == "distilled":
            return self.settings
        own, scale = self.model.config.schedule, check_guidance(guidance)
        kind = dataclasses.replace(own, guidance=scale, guidance_shares=()).applied_guidance
        shares = self.settings.guidance_shares if kind == "cfg" else ()
        return dataclasses.replace(self.settings, guidance=scale, guidance_kind=kind, guidance_shares=shares)


def _joined(null: Tensor | None, conditional: Tensor | None) -> Tensor | None:
    """Both pooled texts (2, P); None for a network without one."""
    return None if null is None or conditional is None else torch.cat([null, conditional])
