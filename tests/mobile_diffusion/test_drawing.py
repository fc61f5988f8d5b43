"""The loop of an app over a runner that computes nothing: memory, fresh noise, distilled guidance, starts and masks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mobile_diffusion.drawing import DrawSettings, Start, draw, draw_seeds
from mobile_diffusion.errors import PromptError
from mobile_diffusion.noise import gaussian
from mobile_diffusion.tokenization.tokenizer import Tokens

SHAPE = (1, 2, 4, 6)
SETTINGS = DrawSettings(
    latent_shape=SHAPE,
    image_shape=(1, 3, 8, 12),
    guidance=5.0,
    guidance_kind="cfg",
    uses_mask=False,
    memory=0,
    stochastic=False,
    alphas=(0.1, 0.4, 0.6, 0.9),
    sigmas=(0.9, 0.8, 0.7, 0.3),
)
PICTURE = np.full((1, 3, 8, 12), 0.25, np.float32)


class Words:
    max_tokens = 4

    def encode(self, prompt: str) -> Tokens:
        return Tokens(np.full(4, len(prompt), np.int32), np.ones(4, np.int32))

    def unknown_words(self, prompt: str) -> tuple[str, ...]:
        return tuple(word for word in prompt.split() if not word.isascii())

    def save(self, path: object) -> None:
        raise NotImplementedError


class Recorder:
    """Doubles the latents at every step, counts in the memory, and remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, np.ndarray]]] = []

    def __call__(self, stage: str, /, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        self.calls.append((stage, arrays))
        if stage == "encode_text":
            return {"context": np.full((1, 4, 8), float(arrays["tokens"].max()), np.float32)}
        if stage == "encode_image":
            return {"latents": np.full(SHAPE, float(arrays["image"].mean()), np.float32)}
        if stage == "decode_image":
            return {"image": np.full((1, 3, 8, 12), 0.5, np.float32)}
        outputs = {"latents": 2 * arrays["latents"]}
        return outputs | ({"memory": arrays["memory"] + 1} if "memory" in arrays else {})

    def steps(self) -> list[dict[str, np.ndarray]]:
        return [arrays for stage, arrays in self.calls if stage == "denoise"]


def test_memory_begins_as_zeros_and_is_handed_on() -> None:
    run = Recorder()
    draw(run, Words(), dataclasses.replace(SETTINGS, memory=3), "a", 1)
    assert [step["memory"].shape for step in run.steps()] == [(1, 6, 4, 6)] * 4
    assert [float(step["memory"].max()) for step in run.steps()] == [0, 1, 2, 3]


def test_every_step_of_a_stochastic_solver_gets_its_own_noise() -> None:
    run = Recorder()
    draw(run, Words(), dataclasses.replace(SETTINGS, stochastic=True), "a", 9)
    for number, step in enumerate(run.steps()):
        np.testing.assert_array_equal(step["noise"], gaussian(9, SHAPE, tensor=number + 1))
    assert np.array_equal(run.steps()[0]["latents"], gaussian(9, SHAPE))


def test_several_seeds_are_what_each_draws_alone() -> None:
    """Text and picture are encoded once, and every other call is the same."""
    settings, start = dataclasses.replace(SETTINGS, stochastic=True, memory=1), Start(PICTURE, 0.5)
    together, alone = Recorder(), Recorder()
    assert len(list(draw_seeds(together, Words(), settings, "a", [3, 7], start=start))) == 2
    for seed in (3, 7):
        draw(alone, Words(), settings, "a", seed, start=start)
    encoders = ["encode_text", "encode_text", "encode_image"]
    assert [stage for stage, _ in together.calls[:3]] == encoders
    rest = [call for call in alone.calls if call[0] not in encoders]
    assert len(together.calls[3:]) == len(rest) == 6
    for (stage, arrays), (expected_stage, expected) in zip(together.calls[3:], rest, strict=True):
        assert stage == expected_stage
        for name, array in expected.items():
            np.testing.assert_array_equal(arrays[name], array)


def test_a_seed_too_large_is_refused_before_anything_runs() -> None:
    run = Recorder()
    with pytest.raises(PromptError, match="seed: expected"):
        next(draw_seeds(run, Words(), SETTINGS, "a", [0, 2**64]))
    assert run.calls == []


def test_distilled_guidance_encodes_one_prompt_and_has_no_scale() -> None:
    run, settings = Recorder(), dataclasses.replace(SETTINGS, guidance_kind="distilled")
    draw(run, Words(), settings, "abc", guidance=5.0)
    assert [stage for stage, _ in run.calls].count("encode_text") == 1
    assert set(run.steps()[0]) == {"latents", "step", "context"}
    with pytest.raises(PromptError, match=r"guidance: expected 5, which it was distilled with, got 7"):
        draw(run, Words(), settings, "abc", guidance=7.0)
    with pytest.raises(PromptError, match="negative prompt: expected none"):
        draw(run, Words(), settings, "abc", negative="blurred")


def test_a_model_without_guidance_encodes_one_prompt_and_has_no_scale() -> None:
    run, settings = Recorder(), dataclasses.replace(SETTINGS, guidance=0.0, guidance_kind="none")
    draw(run, Words(), settings, "abc", guidance=0.5)
    assert [stage for stage, _ in run.calls].count("encode_text") == 1
    assert set(run.steps()[0]) == {"latents", "step", "context"}
    with pytest.raises(PromptError, match=r"guidance: expected 1 or less, .* got 7; export it with --guidance 7"):
        draw(run, Words(), settings, "abc", guidance=7.0)


@pytest.mark.parametrize("kind", ["cfg", "none"])
def test_a_negative_prompt_without_guidance_is_said_to_have_no_effect(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = dataclasses.replace(SETTINGS, guidance=0.0, guidance_kind=kind)
    draw(Recorder(), Words(), settings, "abc", guidance=0.5)
    assert not caplog.records
    draw(Recorder(), Words(), settings, "abc", guidance=0.5, negative="blurred")
    said = "negative prompt: it has no effect at guidance 0.5; use a guidance above 1"
    assert [record.getMessage() for record in caplog.records] == [said]


def test_the_negative_prompt_takes_the_place_of_the_empty_one() -> None:
    run = Recorder()
    draw(run, Words(), SETTINGS, "abc", negative="blurred")
    assert (run.steps()[0]["context"].max(), run.steps()[0]["null_context"].max()) == (3, 7)


def test_words_that_the_model_does_not_know_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    draw(Recorder(), Words(), SETTINGS, "a red apple", negative="blurred")
    assert not caplog.records
    draw(Recorder(), Words(), SETTINGS, "🍎 3d", negative="один два три четыре пять шесть " + "я" * 99)
    assert [record.getMessage() for record in caplog.records] == [
        'prompt: the model does not know "🍎", which has no meaning in the picture; use other words',
        'negative prompt: the model does not know "один", "два", "три", "четыре", "пять" and 2 more, which has '
        "no meaning in the picture; use other words",
    ]


@pytest.mark.parametrize(("strength", "first"), [(1.0, 0), (0.99, 1), (0.75, 1), (0.5, 2), (0.25, 3)])
def test_a_picture_is_noised_to_the_level_of_the_first_step(strength: float, first: int) -> None:
    run = Recorder()
    draw(run, Words(), SETTINGS, "a", 3, start=Start(PICTURE, strength))
    assert [int(step["step"][0]) for step in run.steps()] == list(range(first, 4))
    noise = gaussian(3, SHAPE)
    expected = SETTINGS.alphas[first] * 0.25 + SETTINGS.sigmas[first] * noise
    np.testing.assert_allclose(run.steps()[0]["latents"], expected, rtol=1e-6)


def test_what_the_mask_keeps_follows_the_picture_and_ends_as_it_was() -> None:
    run, mask = Recorder(), np.zeros((1, 1, *PICTURE.shape[2:]), np.float32)
    mask[..., : PICTURE.shape[3] // 2] = 1
    seen: list[np.ndarray] = []
    draw(run, Words(), SETTINGS, "a", 3, on_step=lambda _, x: seen.append(x), start=Start(PICTURE, 1.0, mask))
    noise = gaussian(3, SHAPE)
    for step, latents in enumerate(seen):
        kept = 0.25 if step == 3 else SETTINGS.alphas[step + 1] * 0.25 + SETTINGS.sigmas[step + 1] * noise[..., 3:]
        np.testing.assert_allclose(latents[..., 3:], np.broadcast_to(kept, latents[..., 3:].shape), rtol=1e-6)
    np.testing.assert_allclose(seen[-1][..., :3], 16 * noise[..., :3], rtol=1e-6)


@pytest.mark.parametrize("strength", [0.0, -0.1, 1.01, float("nan"), 0.2])
def test_strengths_that_cannot_be_used(strength: float) -> None:
    run = Recorder()
    with pytest.raises(PromptError, match="strength: expected"):
        draw(run, Words(), SETTINGS, "a", start=Start(PICTURE, strength))
    assert not run.calls


def test_a_solver_with_memory_begins_late_with_the_rows_of_its_table() -> None:
    """Here with rows 4 and 5 for the first steps after one and two that were skipped."""
    levels = {"alphas": (*SETTINGS.alphas, 0.3, 0.6), "sigmas": (*SETTINGS.sigmas, 0.9, 0.8)}
    starts = ((0, 1, 2, 3), (4, 2, 3), (5, 3))
    settings = dataclasses.replace(SETTINGS, memory=1, starts=starts, **levels)
    for strength, path in ((1.0, starts[0]), (0.7, starts[1]), (0.5, starts[2])):
        run, mask = Recorder(), np.zeros((1, 1, *PICTURE.shape[2:]), np.float32)
        draw(run, Words(), settings, "a", 3, start=Start(PICTURE, strength, mask))
        assert [int(step["step"][0]) for step in run.steps()] == list(path)
        noise = gaussian(3, SHAPE)
        if strength < 1:
            expected = levels["alphas"][path[0]] * 0.25 + levels["sigmas"][path[0]] * noise
            np.testing.assert_allclose(run.steps()[0]["latents"], expected, rtol=1e-6)
        kept = levels["alphas"][path[1]] * 0.25 + levels["sigmas"][path[1]] * noise
        np.testing.assert_allclose(run.steps()[1]["latents"], kept, rtol=1e-6)


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (Start(np.zeros((1, 3, 8, 8), np.float32)), "picture"),
        (Start(PICTURE, 1.0, np.zeros((1, 1, 4, 6), np.float32)), "mask"),
    ],
)
def test_pictures_and_masks_of_another_size_are_refused(start: Start, name: str) -> None:
    with pytest.raises(PromptError, match=f"{name}: expected shape"):
        draw(Recorder(), Words(), SETTINGS, "a", start=start)
