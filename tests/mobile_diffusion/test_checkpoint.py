"""Checkpoints: what is written comes back, and every bad input gives one line and changes nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from safetensors.torch import load_file, save_file

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
    AutoencoderConfig,
    BertConfig,
    ClipTextConfig,
    ModelConfig,
    ScheduleConfig,
    Stage,
    UNetConfig,
)
from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.tokenizer import WordPieceTokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "apple"]
WEIGHTS = ["autoencoder.safetensors", "text_encoder.safetensors", "unet.safetensors"]
FILES = sorted([*WEIGHTS, "model.json", "tokenizer.json"])


def word_pieces() -> WordPieceTokenizer:
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return WordPieceTokenizer(tokenizer.to_str(), max_tokens=6)


def tiny_config(**changes: Any) -> ModelConfig:
    config = ModelConfig(
        name="tiny",
        licence="MIT",
        height=16,
        width=16,
        unet=UNetConfig(down=(Stage(8, 1, 1),), mid=None, up=(Stage(8, 2, 0),), context_width=8, heads=2, groups=4),
        autoencoder=AutoencoderConfig(channels=(8, 8), resnets=1, groups=4),
        text=BertConfig(vocabulary=7, width=8, layers=1, heads=2, intermediate=16, positions=6, max_tokens=6),
        schedule=ScheduleConfig(prediction="v"),
    )
    return dataclasses.replace(config, **changes)


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return untrained_model(tiny_config(), word_pieces())


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    save_checkpoint(model, tmp_path / "tiny")
    return tmp_path / "tiny"


def snapshot(root: Path) -> dict[str, bytes]:
    """Every file below `root`, hidden ones too."""
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def one_line(action: Callable[[], object]) -> str:
    """The message of the CheckpointError that `action` must raise."""
    with pytest.raises(CheckpointError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message and "expected" in message
    return message


def rewrite(file: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the tensors of a safetensors file."""
    state = load_file(file)
    change(state)
    save_file(state, file)


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
    assert "'conv_in.bias': expected floats, got I32" in one_line(lambda: open_checkpoint(folder))


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
        ({"format": "1"}, "whole number"),
        ({"format": True}, "whole number"),
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


def test_an_existing_folder_is_not_overwritten_unasked(model: Model, folder: Path) -> None:
    before = snapshot(folder.parent)
    assert "got one that exists" in one_line(lambda: save_checkpoint(model, folder))
    assert snapshot(folder.parent) == before


@pytest.mark.parametrize("name", ["model.json", "notes.txt"])
def test_only_a_checkpoint_is_overwritten(model: Model, tmp_path: Path, name: str) -> None:
    target = tmp_path / "precious"
    target.mkdir()
    (target / name).write_text("{}")
    before = snapshot(tmp_path)
    message = one_line(lambda: save_checkpoint(model, target, overwrite=True))
    assert "expected a checkpoint to overwrite" in message
    assert snapshot(tmp_path) == before


def test_overwriting_replaces_our_files_and_keeps_others(model: Model, folder: Path) -> None:
    (folder / "LICENSE").write_text("MIT")
    (folder / "samples").mkdir()
    (folder / "samples" / "apple.txt").write_text("apple")
    with torch.no_grad():
        model.unet.conv_in.weight.fill_(3.0)
    save_checkpoint(model, folder, overwrite=True)
    assert bool((open_checkpoint(folder).unet.conv_in.weight == 3.0).all())
    assert (folder / "LICENSE").read_text() == "MIT"
    assert (folder / "samples" / "apple.txt").read_text() == "apple"
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]


@pytest.mark.parametrize("interruption", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_interrupted_save_leaves_the_old_checkpoint(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch, interruption: BaseException
) -> None:
    before = snapshot(folder.parent)

    def stop(module: object, file: Path) -> None:
        file.write_bytes(b"half")
        raise interruption

    monkeypatch.setattr(checkpoint, "save_weights", stop)
    with pytest.raises(CheckpointError if isinstance(interruption, OSError) else KeyboardInterrupt):
        save_checkpoint(model, folder, overwrite=True)
    assert snapshot(folder.parent) == before
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]


def test_a_failed_swap_brings_the_old_checkpoint_back(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(folder.parent)
    replace, calls = os.replace, []

    def fail_second(source: Path, target: Path) -> None:
        calls.append(source)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_second)
    assert "Input/output error" in one_line(lambda: save_checkpoint(model, folder, overwrite=True))
    assert snapshot(folder.parent) == before


def test_a_file_in_the_way_of_the_parent(model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = one_line(lambda: save_checkpoint(model, tmp_path / "file" / "out"))
    assert "expected to write the checkpoint" in message


@pytest.mark.parametrize("value", [float("nan"), 1e6])
def test_weights_that_do_not_fit_half_are_refused(model: Model, tmp_path: Path, value: float) -> None:
    with torch.no_grad():
        model.unet.conv_in.weight[0] = value
    message = one_line(lambda: save_checkpoint(model, tmp_path / "out"))
    assert "tensor 'conv_in.weight': expected values within float16" in message
    assert not list(tmp_path.iterdir())


def test_parents_are_made_and_permissions_are_usual(model: Model, tmp_path: Path) -> None:
    target = tmp_path / "runs" / "first"
    save_checkpoint(model, target)
    (tmp_path / "usual").mkdir()
    assert stat.S_IMODE(target.stat().st_mode) == stat.S_IMODE((tmp_path / "usual").stat().st_mode)


def test_too_little_room_is_said_before_anything_is_written(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(checkpoint.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(checkpoint, "save_weights", lambda *_: pytest.fail("weights were written"))
    message = one_line(lambda: save_checkpoint(model, tmp_path / "out"))
    assert "of free disk, got 0.00 GB; make room" in message and not list(tmp_path.iterdir())


def test_a_checkpoint_is_a_model_that_is_read_when_needed(model: Model, folder: Path, tmp_path: Path) -> None:
    opened = open_source(folder)
    save_checkpoint(opened, tmp_path / "again")
    assert snapshot(tmp_path / "again") == snapshot(folder)
    for part in opened.source.layouts:
        ours, theirs = model.load_part(part).state_dict(), opened.load_part(part).state_dict()
        assert all(torch.equal(theirs[name], tensor.half().float()) for name, tensor in ours.items())
    with pytest.raises(KeyError):
        opened.load_part("vae")
