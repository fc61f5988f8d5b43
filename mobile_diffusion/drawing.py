"""From a prompt to a picture: the loop that every app runs.

The loop knows the stages by name, a tokenizer and a few numbers, so the PyTorch reference (pipeline.py) and every
exported artifact draw with the same code.  `read_texts`, `encode_readings`, `first_state`, `step_inputs` and `walk`
are its parts; the apps have the same functions, and the parity checks (export/parity) use them, too.  A drawing starts
from noise, or from a picture (start.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.adapters import ScaledAdapters as ScaledAdapters
from mobile_diffusion.adapters import adapter_inputs
from mobile_diffusion.draw_settings import DrawSettings as DrawSettings
from mobile_diffusion.errors import MobileDiffusionError
from mobile_diffusion.guidance import NULL_PROMPT, choose_guidance
from mobile_diffusion.hint import Hint as Hint
from mobile_diffusion.hint import check_hints, hint_inputs
from mobile_diffusion.noise import check_seed, gaussian
from mobile_diffusion.prompts.reading import Reading, read_prompt
from mobile_diffusion.prompts.weighing import encode_reading, encode_windows
from mobile_diffusion.run_stage import Arrays as Arrays
from mobile_diffusion.run_stage import RunStage as RunStage
from mobile_diffusion.start import Start as Start
from mobile_diffusion.start import check_start, clean_latents, latent_mask, picture_inputs, read_picture
from mobile_diffusion.start import skipped_steps as skipped_steps
from mobile_diffusion.tiles import decode_picture, encode_picture
from mobile_diffusion.tokenization.tokenizer import Tokenizer
from mobile_diffusion.tokenization.unknown_words import warn_unknown

OnStep = Callable[[int, np.ndarray], None]
"""Called after each step with its number and the latents (1, C, h, w) that it made."""
NULL = "null_"
"""Prefix of the names of the null text's tensors."""
Keep = Callable[[np.ndarray, int | None], np.ndarray]
"""Latents (1, C, h, w) in front of a step (None: after the last) -> the same with part of a picture put back."""


@dataclass(frozen=True, eq=False)
class LatentState:
    """What changes from step to step."""

    latents: NDArray[np.float32]
    """(1, C, h, w)."""
    memory: NDArray[np.float32]
    """(1, M * C, h, w): the M tensors that the solver remembers; M is 0 for most solvers."""


def draw(
    run_stage: RunStage,
    tokenizer: Tokenizer,
    settings: DrawSettings,
    prompt: str,
    seed: int = 0,
    guidance: float | None = None,
    on_step: OnStep | None = None,
    negative: str = NULL_PROMPT,
    start: Start | None = None,
    syntax: str = "plain",
    hints: Sequence[Hint] = (),
    adapters: ScaledAdapters | None = None,
) -> NDArray[np.uint8]:
    """Draw a prompt as (H, W, 3) uint8; the same seed gives the same starting noise with every runner.

    `negative` is what guidance leads away from; it has no effect without guidance, at a scale of 1 or less.
    `syntax` is one of `SYNTAXES` (prompts/pieces.py): how both prompts write weights, if at all.
    `on_step(i, latents)` is called after each step.  Logs a warning for that, and for words which the tokenizer does
    not have.  `hints` are one per ControlNet; without `adapters` all are off.  Raises PromptError for a prompt, seed,
    guidance scale, start, hint or adapter that cannot be used, MobileDiffusionError when the stages return NaN or
    infinity.
    """
    asked = (prompt, [seed], guidance, on_step, negative, start, syntax, hints, adapters)
    return next(draw_seeds(run_stage, tokenizer, settings, *asked))


def draw_seeds(
    run_stage: RunStage,
    tokenizer: Tokenizer,
    settings: DrawSettings,
    prompt: str,
    seeds: Sequence[int],
    guidance: float | None = None,
    on_step: OnStep | None = None,
    negative: str = NULL_PROMPT,
    start: Start | None = None,
    syntax: str = "plain",
    hints: Sequence[Hint] = (),
    adapters: ScaledAdapters | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Draw a prompt once per seed; text, picture and hints are encoded once.

    Each picture is what `draw` gives for its seed; arguments and errors are those of `draw`, too.
    """
    seeds = [check_seed(seed) for seed in seeds]
    skipped = check_start(settings, start)
    check_hints(settings, hints)
    switched = adapter_inputs(settings, adapters)
    scale = choose_guidance(settings.guidance_kind, settings.guidance, guidance, negative)
    texts = read_texts(tokenizer, settings, prompt, negative, syntax)
    constant = with_guidance(settings, encode_readings(run_stage, settings, texts), scale)
    for name, text in (("prompt", prompt), ("negative prompt", negative)):
        warn_unknown(name, tokenizer.unknown_words(text))
    constant |= _picture_inputs(run_stage, settings, start, scale) | hint_inputs(run_stage, hints)
    constant |= switched
    clean = clean_latents(run_stage, settings, start, skipped)
    from_noise = start is not None and start.mask is not None and skipped == 0  # as diffusers' inpainting
    rows = settings.rows(skipped)
    for seed in seeds:
        state = first_state(settings, seed, skipped, None if from_noise else clean)
        latents = state.latents
        keep = _keeper(settings, start, clean, seed)
        made = enumerate(walk(run_stage, settings, constant, state, rows, seed, keep), settings.steps - len(rows))
        for step, after in made:
            latents = after.latents
            if on_step is not None:
                on_step(step, latents)
        _check_finite("latents", latents)
        yield image_to_uint8(decode_picture(run_stage, settings, latents))


def read_texts(
    tokenizer: Tokenizer, settings: DrawSettings, prompt: str, negative: str = NULL_PROMPT, syntax: str = "plain"
) -> dict[str, Reading]:
    """The text per context that `denoise` takes: "context", and "null_context" with cfg.

    There is no "null_context" where a missing negative prompt is zeros.
    """
    encoded = settings.guidance_kind == "cfg" and not (settings.zero_null and negative == NULL_PROMPT)
    prompts = {"context": prompt} | ({"null_context": negative} if encoded else {})
    return {name: read_prompt(tokenizer, text, syntax, settings.windows) for name, text in prompts.items()}


def text_inputs(tokenizer: Tokenizer, settings: DrawSettings, prompt: str) -> dict[str, dict[str, NDArray[np.int32]]]:
    """Per text of a plain prompt the inputs of `encode_text` for its N windows, stacked in front."""
    texts = read_texts(tokenizer, settings, prompt)
    return {name: reading.inputs(settings.uses_mask) for name, reading in texts.items()}


def encode(run_stage: RunStage, tokenizer: Tokenizer, settings: DrawSettings, prompt: str) -> np.ndarray:
    """Plain prompt to context (1, N * L, D)."""
    inputs = read_prompt(tokenizer, prompt, windows=settings.windows).inputs(settings.uses_mask)
    return encode_windows(run_stage, inputs)["context"]


def encode_texts(run_stage: RunStage, texts: Mapping[str, Mapping[str, NDArray[np.int32]]]) -> dict[str, np.ndarray]:
    """All outputs of `encode_text` per plain text; names of the null text have the prefix `null_`."""
    return _named({name: encode_windows(run_stage, inputs) for name, inputs in texts.items()})


def encode_readings(run_stage: RunStage, settings: DrawSettings, texts: Mapping[str, Reading]) -> dict[str, np.ndarray]:
    """As `encode_texts`, with weights."""
    encoded = {
        name: encode_reading(run_stage, reading, settings.uses_mask, settings.text_widths)
        for name, reading in texts.items()
    }
    return _named(encoded)


def _named(encoded: Mapping[str, Arrays]) -> dict[str, np.ndarray]:
    null = {f"{NULL}{name}": array for name, array in encoded.get("null_context", {}).items()}
    return dict(encoded["context"]) | null


def with_guidance(settings: DrawSettings, encoded: Arrays, guidance: float) -> dict[str, np.ndarray]:
    """Encoded texts with what guidance by cfg needs besides them: the scale, and zeros in place of a null text."""
    if settings.guidance_kind != "cfg":
        return dict(encoded)
    zeros = {f"{NULL}{name}": np.zeros_like(array) for name, array in _conditional(encoded).items()}
    return zeros | dict(encoded) | {"guidance": np.array([guidance], np.float32)}


def first_state(settings: DrawSettings, seed: int, skipped: int = 0, clean: np.ndarray | None = None) -> LatentState:
    """The seed's noise, or clean latents (1, C, h, w) noised to the level after `skipped` steps; an empty memory."""
    noise = gaussian(seed, settings.latent_shape)
    latents = noise if clean is None else _noised(clean, noise, settings, settings.rows(skipped)[0])
    return LatentState(latents, np.zeros((1, settings.memory * noise.shape[1], *noise.shape[2:]), np.float32))


def step_inputs(
    settings: DrawSettings, constant: Arrays, state: LatentState, step: int, seed: int
) -> dict[str, np.ndarray]:
    """All inputs of `denoise` at a step, without guidance if each step has its own; `constant` are the `conditions`."""
    arrays = dict(constant, latents=state.latents, step=np.array([step], np.int32))
    if settings.guidance_shares:
        arrays = _conditional(arrays) | _guided_by(np.zeros_like(state.latents), 1.0)
    if settings.memory:
        arrays["memory"] = state.memory
    if settings.stochastic:
        arrays["noise"] = fresh_noise(settings, step, seed)
    return arrays


def fresh_noise(settings: DrawSettings, step: int, seed: int) -> NDArray[np.float32]:
    """The noise (1, C, h, w) that a stochastic solver adds at a step; tensor 0 of a seed is the first latents."""
    return gaussian(seed, settings.latent_shape, tensor=step + 1)


def denoise(
    run_stage: RunStage, settings: DrawSettings, constant: Arrays, state: LatentState, step: int, seed: int
) -> LatentState:
    """The state after one step."""
    inputs = step_inputs(settings, constant, state, step, seed)
    if settings.guidance_shares:
        scale = 1 + settings.guidance_shares[step] * (float(constant["guidance"][0]) - 1)
        if scale > 1:
            null = run_stage("denoise", **(inputs | _null(constant)))["output"]
            inputs |= _guided_by(null, scale)
    outputs = run_stage("denoise", **inputs)
    return LatentState(outputs["latents"], outputs["memory"] if settings.memory else state.memory)


def _conditional(arrays: Arrays) -> dict[str, np.ndarray]:
    """The arrays without those of the null text."""
    return {name: array for name, array in arrays.items() if not name.startswith(NULL)}


def _null(arrays: Arrays) -> dict[str, np.ndarray]:
    """The arrays of the null text, by the names of those of the prompt."""
    return {name.removeprefix(NULL): array for name, array in arrays.items() if name.startswith(NULL)}


def _guided_by(null_output: np.ndarray, scale: float) -> dict[str, np.ndarray]:
    """Inputs of `denoise` that lead away from the network's output (1, C, h, w) for the null text."""
    return {"null_output": null_output, "guidance": np.array([scale], np.float32)}


def walk(
    run_stage: RunStage,
    settings: DrawSettings,
    constant: Arrays,
    state: LatentState,
    steps: Sequence[int],
    seed: int,
    keep: Keep | None = None,
) -> Iterator[LatentState]:
    """The state after each of `steps`, which are inputs of `denoise`, starting from `state`."""
    for step, following in zip_longest(steps, steps[1:]):
        state = denoise(run_stage, settings, constant, state, step, seed)
        if keep is not None:
            state = replace(state, latents=keep(state.latents, following))
        yield state


def _picture_inputs(
    run_stage: RunStage, settings: DrawSettings, start: Start | None, guidance: float
) -> dict[str, np.ndarray]:
    """The inputs of `denoise` that an inpainting or editing network reads of the start; none for another."""
    picture, mask = read_picture(settings, start)
    latents = None if picture is None else encode_picture(run_stage, settings, picture)
    return picture_inputs(settings, latents, mask, guidance, None if start is None else start.image_guidance)


def _noised(clean: np.ndarray, noise: np.ndarray, settings: DrawSettings, step: int | None) -> np.ndarray:
    """Clean latents at the noise level in front of `step`; after the last step, None, they stay clean."""
    if step is None:
        return clean
    return np.float32(settings.alphas[step]) * clean + np.float32(settings.sigmas[step]) * noise


def _keeper(settings: DrawSettings, start: Start | None, clean: np.ndarray | None, seed: int) -> Keep | None:
    """Puts the start's picture back where the mask keeps it; None without a mask."""
    if start is None or start.mask is None or clean is None or settings.task != "draw":
        return None
    mask, picture, noise = latent_mask(settings, start.mask), clean, gaussian(seed, settings.latent_shape)
    return lambda latents, step: mask * latents + (1 - mask) * _noised(picture, noise, settings, step)


def image_to_uint8(image: np.ndarray) -> NDArray[np.uint8]:
    """Image (1, 3, H, W) in [0, 1] to pixels (H, W, 3), rounded; raises MobileDiffusionError on NaN."""
    _check_finite("image", image)
    pixels = np.rint(np.clip(image[0], 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def _check_finite(name: str, values: np.ndarray) -> None:
    wrong = int(np.size(values) - np.isfinite(values).sum())
    if wrong:
        raise MobileDiffusionError(
            f"{name}: expected finite values, got {wrong} NaN or infinite of {np.size(values)}; "
            "check the weights and the precision of the artifact"
        )
