"""The pictures that a slim decoder learns from are the full decoder's, drawn once while they fit."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.slimming.synthetic import FullPictures

PICTURE_BYTES = 3 * 32 * 32 * 2


@pytest.fixture
def full(tiny_model: Model) -> Autoencoder:
    assert isinstance(tiny_model.autoencoder, Autoencoder)
    return tiny_model.autoencoder.eval()


@pytest.fixture
def latents(tiny_model: Model) -> Tensor:
    return torch.randn(4, *tiny_model.config.latent_shape[1:], generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("limit", [0, 2 * PICTURE_BYTES, 1 << 20])
def test_pictures_are_the_full_decoders_whether_they_fit_or_not(full: Autoencoder, latents: Tensor, limit: int) -> None:
    pictures = FullPictures(full, latents, limit)
    with torch.no_grad():
        wanted = full.to_images(latents)
    for chosen in ([0, 3, 1], [3, 2, 2], [1, 0, 3]):
        with torch.autocast("cpu", torch.bfloat16):
            found = pictures.of(torch.tensor(chosen))
        assert found.dtype == torch.float32
        assert torch.allclose(found, wanted[chosen], atol=1e-3)
    assert sum(picture.nbytes for picture in pictures.kept.values()) <= limit


def test_a_picture_is_drawn_once(full: Autoencoder, latents: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    draw = full.to_images
    monkeypatch.setattr(full, "to_images", lambda given: (drawn.append(len(given)), draw(given))[1])
    pictures = FullPictures(full, latents)
    first = pictures.of(torch.tensor([2, 0, 2]))
    assert torch.equal(pictures.of(torch.tensor([2, 0, 2])), first)
    assert drawn == [1, 1]
