"""The inputs of a run are kept as they were computed, whatever memory layout the networks have."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.training import latents as latents_module
from mobile_diffusion.training.checkpoints import LAYOUT
from mobile_diffusion.training.images import to_signed
from mobile_diffusion.training.latents import prepare_inputs


def test_networks_in_channels_last_give_the_same_inputs(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = torch.randint(256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    monkeypatch.setattr(latents_module, "captions", lambda sample: ["a red apple", "an apple"])
    monkeypatch.setattr(latents_module, "stack_images", lambda samples: images)
    assert isinstance(tiny_model.autoencoder, Autoencoder)
    autoencoder = copy.deepcopy(tiny_model.autoencoder)
    with torch.no_grad():
        wanted = autoencoder.encode(to_signed(images))[0] * autoencoder.config.scaling_factor
    autoencoder.to(memory_format=LAYOUT)  # type: ignore[call-overload]
    given = ([None] * 3, autoencoder, tiny_model.tokenizer, tiny_model.text_encoder)
    first, again = (prepare_inputs(*given, tmp_path) for _ in range(2))  # type: ignore[arg-type]
    assert torch.allclose(first.latents, wanted, atol=1e-5)
    assert torch.equal(first.latents, again.latents)
    assert first.first_caption.tolist() == [1, 3, 5] and first.caption_count.tolist() == [2, 2, 2]
