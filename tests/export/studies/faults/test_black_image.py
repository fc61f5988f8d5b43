"""The black picture of half precision: the naive conversion draws it, ours does not, and the report says why."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.coreml.black_image import DiffusersDecoder, amplified, convert_naively, drawn, judged, stage_of
from export.coreml.lower import lower
from export.coreml.options import CoreMLOptions
from export.stages import DecodeImage
from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.autoencoder_config import AutoencoderConfig

CONFIG = AutoencoderConfig(channels=(8, 16), latent_channels=4, resnets=1, groups=4, scaling_factor=0.5)
FACTOR = 2000.0


@pytest.fixture(scope="module")
def networks() -> Iterator[tuple[Autoencoder, Autoencoder]]:
    """A small autoencoder with random weights, and the same amplified."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(7)
        quiet = Autoencoder(CONFIG).eval().requires_grad_(False)
        quiet.decoder.conv_out.weight.mul_(3.0)
    yield quiet, amplified(quiet, FACTOR)


@pytest.fixture(scope="module")
def latents() -> torch.Tensor:
    return torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(1))


def images(networks: tuple[Autoencoder, ...], latents: torch.Tensor) -> list[np.ndarray]:
    with torch.inference_mode():
        return [DecodeImage(each)(latents).numpy() for each in networks]


def test_amplifying_changes_the_numbers_inside_and_not_the_picture(
    networks: tuple[Autoencoder, Autoencoder], latents: torch.Tensor
) -> None:
    quiet, loud = images(networks, latents)
    assert quiet.std() > 0.05
    np.testing.assert_allclose(loud, quiet, atol=1e-3)
    inside: list[float] = []
    for network in networks:
        hook = network.decoder.conv_norm_out.register_forward_pre_hook(
            lambda module, given: inside.append(float(given[0].abs().max()))
        )
        images((network,), latents)
        hook.remove()
    assert inside[1] == pytest.approx(FACTOR * inside[0], rel=1e-3) and 256 < inside[1] < 65504


@pytest.mark.parametrize("decoder", [{}, {"decoder_channels": (4, 8), "decoder_groups": 2}], ids=["full", "slim"])
def test_diffusers_decoder_draws_what_ours_draws(decoder: dict[str, Any], latents: torch.Tensor) -> None:
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(3)
        network = Autoencoder(dataclasses.replace(CONFIG, **decoder)).eval()
        found = DiffusersDecoder(network).eval()(latents)
        torch.testing.assert_close(found, DecodeImage(network)(latents), atol=1e-5, rtol=0)


def test_the_naive_conversion_loses_the_picture(
    networks: tuple[Autoencoder, Autoencoder], latents: torch.Tensor, tmp_path: Path
) -> None:
    reference = images(networks, latents)[1]
    path = convert_naively(DiffusersDecoder(networks[1]), latents, tmp_path / "naive.mlpackage")
    result: dict[str, Any] = judged(reference, *drawn(path, latents))
    assert result["psnr_db"] < 25 and result["contrast"] < 0.2 * float(reference.std())
    assert result["first_overflow"]["operation"] == "square" and result["operations_that_overflow"] > 5


@pytest.mark.parametrize("units", ["CPU_AND_GPU", "CPU_AND_NE"])
def test_ours_draws_it(
    units: str, networks: tuple[Autoencoder, Autoencoder], latents: torch.Tensor, tmp_path: Path
) -> None:
    reference = images(networks, latents)[1]
    stage = stage_of(networks[1], latents, reference)
    path = tmp_path / lower(stage, tmp_path, CoreMLOptions(compute_units=units))
    result = judged(reference, *drawn(path, latents))
    assert result["psnr_db"] > 50
    assert result["operations_that_overflow"] == 0 and result["largest_before_rounding"] > 256
