"""Checkpoints: what is written comes back, and every bad input gives one line."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mobile_diffusion import checkpoint
from mobile_diffusion.checkpoint import (
    Model,
    open_checkpoint,
    open_source,
    save_checkpoint,
    source_hash,
    untrained_model,
)
from mobile_diffusion.config import (
    ClipTextConfig,
)
from tests.mobile_diffusion.checkpoints import FILES, one_line, rewrite, snapshot, tiny_config
from tests.tiny_models import word_pieces


def test_what_is_saved_comes_back_rounded_to_half(model: Model, folder: Path) -> None:
    opened = open_checkpoint(folder)
    assert sorted(file.name for file in folder.iterdir()) == FILES
    assert opened.config == model.config and opened.path == folder
    for name, module in model.parts.items():
        loaded = opened.parts[name].state_dict()
        assert loaded.keys() == module.state_dict().keys()
        for key, tensor in module.state_dict().items():
            assert loaded[key].dtype == torch.float32
            assert torch.equal(loaded[key], tensor.half().float()), key
        assert not opened.parts[name].training
    assert opened.tokenizer.encode("a red apple").ids.tolist() == [2, 4, 5, 6, 3, 0]


def test_weights_are_half_on_disk(folder: Path) -> None:
    dtypes = {tensor.dtype for tensor in load_file(folder / "unet.safetensors").values()}
    assert dtypes == {torch.float16}


def test_an_opened_model_can_be_trained_on(folder: Path) -> None:
    opened = open_checkpoint(str(folder))
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in opened.unet.parameters())


def test_single_precision_weights_are_read_too(folder: Path) -> None:
    rewrite(folder / "unet.safetensors", lambda state: state.update({k: v.float() for k, v in state.items()}))
    assert next(open_checkpoint(folder).unet.parameters()).dtype == torch.float32


def test_a_clip_encoder_keeps_its_causal_mask(tmp_path: Path) -> None:
    """Buffers that are not stored must be computed, though the weights are not initialised."""
    text = ClipTextConfig(vocabulary=7, width=8, layers=1, heads=2, intermediate=16, positions=6, max_tokens=6)
    model = untrained_model(tiny_config(text=text), word_pieces())
    save_checkpoint(model, tmp_path / "clip")
    opened = open_checkpoint(tmp_path / "clip").text_encoder
    tokens = torch.tensor([[2, 4, 5, 6, 3, 0]])
    with torch.no_grad():
        assert torch.allclose(opened(tokens), model.text_encoder(tokens), atol=1e-2)
        assert not any(tensor.is_meta for tensor in opened.buffers())


def test_opening_draws_no_random_numbers(folder: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    open_checkpoint(folder)
    assert torch.equal(torch.rand(1), expected)


def test_source_hash_follows_names_and_bytes_of_our_files(model: Model, folder: Path) -> None:
    first = source_hash(folder)
    assert open_checkpoint(folder).source_hash == first and len(first) == 64
    (folder / "README.md").write_text("not ours")
    assert source_hash(folder) == first
    save_checkpoint(model, folder.with_name("again"))
    assert source_hash(folder.with_name("again")) == first
    rewrite(folder / "unet.safetensors", lambda state: state["conv_in.bias"].add_(1))
    assert source_hash(folder) != first


def test_nothing_there(tmp_path: Path) -> None:
    assert "got nothing there" in one_line(lambda: open_checkpoint(tmp_path / "absent"))


def test_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    assert "without model.json" in one_line(lambda: open_checkpoint(tmp_path))


@pytest.mark.parametrize("suffix", [".bin", ".pt", ".pth", ".ckpt", ".CKPT"])
def test_a_pickle_is_refused_by_name_and_never_opened(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"model{suffix}"
    file.write_bytes(pickle.dumps({"weights": 1}))
    for path in (file, tmp_path):
        message = one_line(lambda path=path: open_checkpoint(path))  # type: ignore[misc]
        assert f"model{suffix}" in message and "pickle" in message


def test_a_pickle_in_the_place_of_weights_is_refused(folder: Path) -> None:
    (folder / "unet.safetensors").rename(folder / "unet.bin")
    assert "unet.bin: expected safetensors, got a pickle" in one_line(lambda: open_checkpoint(folder))


def test_a_file_instead_of_a_folder(folder: Path) -> None:
    assert "unet.safetensors" in one_line(lambda: open_checkpoint(folder / "unet.safetensors"))
    assert "got a file" in one_line(lambda: open_checkpoint(folder / "model.json"))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert name in one_line(lambda: open_checkpoint(folder))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [b"", b"\xff" * 100, b"{", b"\x08\x00\x00\x00\x00\x00\x00\x00not json"])
def test_a_damaged_file_is_named(folder: Path, name: str, damage: bytes) -> None:
    (folder / name).write_bytes(damage)
    assert name in one_line(lambda: open_checkpoint(folder))


@pytest.mark.parametrize("size", [7, 100, -1])
def test_a_truncated_weights_file_is_named(folder: Path, size: int) -> None:
    file = folder / "autoencoder.safetensors"
    file.write_bytes(file.read_bytes()[:size])
    assert "expected a whole safetensors file" in one_line(lambda: open_checkpoint(folder))


def test_a_missing_tensor_is_named(folder: Path) -> None:
    rewrite(folder / "unet.safetensors", lambda state: state.pop("conv_in.weight"))
    message = one_line(lambda: open_checkpoint(folder))
    assert "unet.safetensors: tensor 'conv_in.weight' is missing, expected shape [8, 4, 3, 3];" in message


def test_an_extra_tensor_is_named(folder: Path) -> None:
    rewrite(folder / "text_encoder.safetensors", lambda state: state.update(pooler=torch.ones(1)))
    assert "text_encoder.safetensors: tensor 'pooler' is extra" in one_line(lambda: open_checkpoint(folder))


def test_a_misshaped_tensor_is_named_with_both_shapes(folder: Path) -> None:
    wrong = {"quant_conv.bias": torch.ones(9)}
    rewrite(folder / "autoencoder.safetensors", lambda state: state.update(wrong))
    message = one_line(lambda: open_checkpoint(folder))
    assert "tensor 'quant_conv.bias': expected shape [8], got [9];" in message


def test_the_first_bad_tensor_is_named_and_the_others_counted(folder: Path) -> None:
    def spoil(state: dict[str, torch.Tensor]) -> None:
        del state["conv_in.bias"], state["conv_out.bias"]
        state.update(extra=torch.ones(1))

    rewrite(folder / "unet.safetensors", spoil)
    message = one_line(lambda: open_checkpoint(folder))
    assert "'conv_in.bias' is missing, expected shape [8] (and 2 more)" in message


def test_a_tensor_of_integers_is_named(folder: Path) -> None:
    rewrite(folder / "unet.safetensors", lambda state: state.update({"conv_in.bias": torch.ones(8).int()}))
    assert "'conv_in.bias': expected floats of 16 bits or more, got I32" in one_line(lambda: open_checkpoint(folder))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_tensor_that_is_not_finite_is_named(folder: Path, value: float) -> None:
    rewrite(folder / "unet.safetensors", lambda state: state["conv_in.bias"].fill_(value))
    assert "'conv_in.bias': expected finite weights" in one_line(lambda: open_checkpoint(folder))


def test_shapes_are_checked_before_weights_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(folder / "text_encoder.safetensors", lambda state: state.update(pooler=torch.ones(1)))
    monkeypatch.setattr(checkpoint, "load_layout", lambda *_: pytest.fail("weights were read"))
    assert "pooler" in one_line(lambda: open_checkpoint(folder))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 1}, "expected format 2, got 1"),
        ({"format": "1"}, "an integer"),
        ({"format": True}, "an integer"),
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"height": "big"}, "height"),
        ({"width": 15}, "width"),
        ({"tokenizer": "clip-bpe"}, "tokenizer.json"),
        ({"unet": []}, "expected an object"),
        ({"name": None}, "name"),
    ],
)
def test_a_model_file_that_does_not_fit(folder: Path, change: dict[str, Any], said: str) -> None:
    values = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(values | change))
    assert said in one_line(lambda: open_checkpoint(folder))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "expected an object"),
        ("[" * 100_000, "model.json"),
        ('{"format": 2, "format": 2}', "key 'format' twice"),
        ('{"format": 2, "guidance": NaN}', "the number NaN"),
        ('{"format": 2, "guidance": 1e999}', "the number 1e999"),
        ('{"format": 2}', "missing"),
    ],
)
def test_a_model_file_that_is_not_strict_json(folder: Path, text: str, said: str) -> None:
    (folder / "model.json").write_text(text)
    assert said in one_line(lambda: open_checkpoint(folder))


def test_absurd_sizes_cost_nothing(folder: Path) -> None:
    values = json.loads((folder / "model.json").read_text())
    values["text"]["vocabulary"] = 10**18
    (folder / "model.json").write_text(json.dumps(values))
    one_line(lambda: open_checkpoint(folder))


def test_a_checkpoint_is_a_model_that_is_read_when_needed(model: Model, folder: Path, tmp_path: Path) -> None:
    opened = open_source(folder)
    save_checkpoint(opened, tmp_path / "again")
    assert snapshot(tmp_path / "again") == snapshot(folder)
    for part in opened.source.layouts:
        ours, theirs = model.load_part(part).state_dict(), opened.load_part(part).state_dict()
        assert all(torch.equal(theirs[name], tensor.half().float()) for name, tensor in ours.items())
    with pytest.raises(KeyError):
        opened.load_part("vae")
