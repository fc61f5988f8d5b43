"""The context of a reading: the text encoder's output per window, weighted, mixed, and joined along the tokens.

A1111 multiplies each token's vector by its weight, and the whole window by what restores its mean.  Compel leads the
vectors away from those of the empty prompt, e + w (z - e), and mixes the versions of a prompt by their shares.
Float64 within, rounded to float32 once; a window whose weights are all 1 is not touched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.errors import PromptError
from mobile_diffusion.prompts.reading import Reading, Version, split_windows, stacked
from mobile_diffusion.run_stage import Arrays, RunStage

Doubles = NDArray[np.float64]


def encode_windows(run_stage: RunStage, inputs: Mapping[str, NDArray[np.int32]]) -> dict[str, np.ndarray]:
    """Encode N windows without weights: "context" (1, N * L, D), and of SDXL "pooled" (1, P) of the first."""
    return _joined([run_stage("encode_text", **window) for window in split_windows(inputs)])


def encode_reading(
    run_stage: RunStage, reading: Reading, uses_mask: bool, widths: Sequence[int]
) -> dict[str, np.ndarray]:
    """The outputs of `encode_text` for a reading, as `encode_windows` returns them; `widths` are D per text encoder.

    Raises PromptError when the weights leave no finite context.
    """
    if all((version.weights == 1).all() for version in reading.versions) and len(reading.versions) == 1:
        return encode_windows(run_stage, reading.inputs(uses_mask))
    empty = None
    if reading.empty is not None:
        found = run_stage("encode_text", **stacked([reading.empty], uses_mask))
        empty = np.asarray(found["context"], np.float64)
    outputs = [_encode(run_stage, version, uses_mask, widths, empty) for version in reading.versions]
    shares = [version.share for version in reading.versions]
    mixed = sum(share * each["context"] for share, each in zip(shares, outputs, strict=True)) / sum(shares)
    context = np.asarray(mixed, np.float32)
    if not np.isfinite(context).all():
        raise PromptError("prompt: expected weights that leave a finite text, got weights that do not; change them")
    return outputs[0] | {"context": context}


def _encode(
    run_stage: RunStage, version: Version, uses_mask: bool, widths: Sequence[int], empty: Doubles | None
) -> dict[str, np.ndarray]:
    """Encode one version, with its context (1, N * L, D) in float64."""
    outputs = []
    for window, weights in zip(split_windows(stacked(version.tokens, uses_mask)), version.weights, strict=True):
        found = dict(run_stage("encode_text", **window))
        context, scale = np.asarray(found["context"], np.float64), _per_channel(weights, widths)
        found["context"] = _from_mean(context, scale, widths) if empty is None else empty + scale * (context - empty)
        outputs.append(found)
    return _joined(outputs)


def _per_channel(weights: Doubles, widths: Sequence[int]) -> Doubles:
    """Weights (E, L) of E text encoders -> (1, L, D)."""
    return np.concatenate(
        [np.repeat(row[:, None], width, axis=1) for row, width in zip(weights, widths, strict=True)], 1
    )[None]


def _from_mean(context: Doubles, scale: Doubles, widths: Sequence[int]) -> Doubles:
    """Multiply a context (1, L, D) by its weights, keeping the mean of each text encoder's part."""
    if (scale == 1).all():
        return context
    weighted, edges = context * scale, np.cumsum(widths)[:-1]
    parts = zip(np.split(context, edges, axis=2), np.split(weighted, edges, axis=2), strict=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.concatenate([after * (before.mean() / after.mean()) for before, after in parts], axis=2)


def _joined(windows: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """Outputs of windows as those of one prompt."""
    return dict(windows[0]) | {"context": np.concatenate([window["context"] for window in windows], axis=1)}
