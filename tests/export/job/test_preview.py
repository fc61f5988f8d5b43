"""The affine map from latents to colours: fitted as it should be, and like the pictures of the emoji model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from skimage.metrics import peak_signal_noise_ratio

from export.job.plan import plan_export
from export.job.preview import Preview, fit_preview, read_preview, shrink, write_preview
from export.job.run import preview_of
from export.parity.record import record
from export.parity.trajectories import Case, Trajectory
from export.runners.torch import TorchRunner
from export.targets import TARGETS
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.drawing import DrawSettings

EMOJI = Path(__file__).parents[3] / "assets" / "emoji"


def made(latents: np.ndarray, image: np.ndarray) -> Trajectory:
    """A trajectory of which only the end matters."""
    return Trajectory(Case("", 0), 1.0, {}, {}, 0, latents[None].astype(np.float32), image[None].astype(np.float32))


def test_a_linear_decoder_is_found_again() -> None:
    draw = np.random.default_rng(3)
    truth = Preview(tuple(map(tuple, draw.normal(size=(3, 4)).tolist())), (0.5, 0.4, 0.6))
    trajectories = []
    for _ in range(2):
        latents = draw.normal(size=(6, 5, 7)) * 0.05  # two more channels that the solver remembers
        small = np.einsum("kc,chw->khw", np.array(truth.weights), latents[:4]) + np.array(truth.bias)[:, None, None]
        trajectories.append(made(latents, np.kron(small, np.ones((1, 8, 8)))))
    found = fit_preview(trajectories, 4)
    assert np.allclose(found.weights, truth.weights, atol=1e-4)
    assert np.allclose(found.bias, truth.bias, atol=1e-5)


def test_it_is_clamped_and_rounded_to_even() -> None:
    preview = Preview(((1.0,), (0.0,), (0.0,)), (0.0, 0.5 / 255, 2.5 / 255))
    pixels = preview(np.array([[[2.0, 0.25, -1.0]]], np.float32))
    assert pixels[0].tolist() == [[255, 0, 2], [64, 0, 2], [0, 0, 2]]


def test_shrinking_takes_means() -> None:
    image = np.arange(3 * 4 * 6, dtype=np.float32).reshape(3, 4, 6)
    assert np.array_equal(shrink(image, 2, 3), image.reshape(3, 2, 2, 3, 2).mean(axis=(2, 4)))


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    preview = Preview(((0.1, 1e-17), (1 / 3, -2.0), (0.0, 5.0)), (0.25, 0.5, 2 / 3))
    write_preview(tmp_path, preview)
    assert read_preview(tmp_path) == preview
    assert list(json.loads((tmp_path / "preview.json").read_text())) == ["weights", "bias"]


def test_previews_of_the_emoji_model_are_like_its_pictures() -> None:
    """Fitted as an export does, compared with pictures of other prompts."""
    model = open_checkpoint(EMOJI)
    runner, settings = TorchRunner.from_model(model, 1), DrawSettings.of(model.config)
    fitted = preview_of(runner, model.tokenizer, settings, (), plan_export(model.config, TARGETS["android"]))
    for prompt in ("a brown dog, flat", "a yellow sun, 3d"):
        drawn = record(runner, model.tokenizer, settings, Case(prompt, 1))
        preview = fitted(drawn.states[-1])
        wanted = (shrink(drawn.image[0], 16, 16).transpose(1, 2, 0) * 255).round().astype(np.uint8)
        assert peak_signal_noise_ratio(wanted, preview) >= 18, prompt
