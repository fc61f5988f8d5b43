"""The inputs of a run are kept as they were computed, whatever memory layout the networks have."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.data import Sample
from mobile_diffusion.data.typed_captions import LABEL_FORMS
from mobile_diffusion.errors import TrainingError
from mobile_diffusion.training import latents as latents_module
from mobile_diffusion.training.batches import choose_captions
from mobile_diffusion.training.checkpoints import LAYOUT
from mobile_diffusion.training.images import to_signed
from mobile_diffusion.training.latents import TrainingInputs, prepare_inputs

SAMPLES = [
    Sample(f"3d/{code}", "3d", code, "", "apple", (), "food", "apple", "train", "", "", "MIT", "", Path())
    for code in ("1", "2", "3")
]


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """Three pictures with two captions each."""
    pictures = torch.randint(256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(5))
    monkeypatch.setattr(latents_module, "captions", lambda sample: ["a red apple", "an apple"])
    monkeypatch.setattr(latents_module, "stack_images", lambda samples: pictures)
    return pictures


def test_networks_in_channels_last_give_the_same_inputs(tiny_model: Model, tmp_path: Path, images: Tensor) -> None:
    assert isinstance(tiny_model.autoencoder, Autoencoder)
    autoencoder = copy.deepcopy(tiny_model.autoencoder)
    with torch.no_grad():
        wanted = autoencoder.encode(to_signed(images))[0] * autoencoder.config.scaling_factor
    autoencoder.to(memory_format=LAYOUT)  # type: ignore[call-overload]
    given = (SAMPLES, autoencoder, tiny_model.tokenizer, tiny_model.text_encoder)
    first, again = (prepare_inputs(*given, tmp_path) for _ in range(2))  # type: ignore[arg-type]
    assert torch.allclose(first.latents, wanted, atol=1e-5)
    assert torch.equal(first.latents, again.latents)
    assert first.first_caption.tolist() == [1, 3, 5] and first.caption_count.tolist() == [2, 2, 2]


def test_captions_as_people_type_them(tiny_model: Model, tmp_path: Path, images: Tensor) -> None:
    given = (SAMPLES, tiny_model.autoencoder, tiny_model.tokenizer, tiny_model.text_encoder, tmp_path)
    inputs = prepare_inputs(*given, True)  # type: ignore[arg-type]
    assert inputs.caption_count.tolist() == [LABEL_FORMS] * 3 and inputs.label_forms == LABEL_FORMS
    assert len(inputs.contexts) == 1 + 3 * LABEL_FORMS
    with pytest.raises(TrainingError, match="made from captions 'stored', got 'typed'"):
        prepare_inputs(*given)  # type: ignore[arg-type]
    chosen = torch.zeros(400, dtype=torch.int64)
    for share in (0.0, 1.0):
        found = choose_captions(inputs, chosen, share, 0.0, torch.Generator().manual_seed(0))
        assert sorted(set(found.tolist())) == list(range(1, 1 + LABEL_FORMS))
    stored = dataclasses.replace(inputs, label_forms=1)
    assert set(choose_captions(stored, chosen, 1.0, 0.0, torch.Generator().manual_seed(0)).tolist()) == {1}


def test_inputs_of_other_networks_or_pictures_are_refused(tiny_model: Model, tmp_path: Path, images: Tensor) -> None:
    def prepare(samples: list[Sample] = SAMPLES, model: Model = tiny_model) -> TrainingInputs:
        assert isinstance(model.autoencoder, Autoencoder)
        return prepare_inputs(samples, model.autoencoder, model.tokenizer, model.text_encoder, tmp_path)  # type: ignore[arg-type]

    kept = prepare()
    for part in ("autoencoder", "text_encoder"):
        changed = dataclasses.replace(tiny_model, **{part: copy.deepcopy(getattr(tiny_model, part))})
        torch.nn.init.ones_(next(getattr(changed, part).parameters()))
        with pytest.raises(TrainingError, match=f"made from {part.replace('_', ' ')} '.*', got '.*; delete the file"):
            prepare(model=changed)
    with pytest.raises(TrainingError, match="made from pictures"):
        prepare(SAMPLES[:2])
    decoding = dataclasses.replace(tiny_model, autoencoder=copy.deepcopy(tiny_model.autoencoder))
    torch.nn.init.ones_(decoding.autoencoder.get_parameter("decoder.conv_in.bias"))
    assert torch.equal(prepare(model=decoding).latents, kept.latents)  # what decodes may change


@pytest.mark.parametrize("content", [b"", b"no tensors"])
def test_a_damaged_file_of_inputs_is_named(tiny_model: Model, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "inputs.safetensors").write_bytes(content)
    given = (SAMPLES, tiny_model.autoencoder, tiny_model.tokenizer, tiny_model.text_encoder)
    with pytest.raises(TrainingError, match="expected the inputs of the run, got .*; delete the file"):
        prepare_inputs(*given, tmp_path)  # type: ignore[arg-type]


def test_inputs_of_an_earlier_version_that_names_no_networks_are_refused(
    tiny_model: Model, tmp_path: Path, images: Tensor
) -> None:
    save_file({"latents": torch.zeros(1)}, tmp_path / "inputs.safetensors")
    given = (SAMPLES, tiny_model.autoencoder, tiny_model.tokenizer, tiny_model.text_encoder)
    with pytest.raises(TrainingError, match="made from autoencoder '.*', got none"):
        prepare_inputs(*given, tmp_path)  # type: ignore[arg-type]
