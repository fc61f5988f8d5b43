"""Textual inversion against diffusers' `load_textual_inversion`, and what is no textual inversion."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file
from torch import Tensor

from mobile_diffusion.checkpoint import Checkpoint, open_checkpoint, open_source, save_checkpoint
from mobile_diffusion.config import ClipTextConfig
from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.embeddings import read_embedding
from mobile_diffusion.formats.open_options import OpenOptions

Publish = Callable[..., Path]
PROMPTS = (
    "",
    "a photo of a cat",
    "a photo of <toy>",
    "<toy><toy>, <style>",
    "a cat in <style>, oil on canvas!",
    "<Style> and <TOY> in capitals",
    "badhands, a <style>badhands",
    "<style> " * 40,
)
WIDTH = 48
TEXT = ClipTextConfig(width=WIDTH)


def vectors(*shape: int) -> Tensor:
    """Learned vectors, far from the table's own."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, ...]:
    """One vector, three vectors in half precision, and two of the web interface."""
    save_file({"<toy>": vectors(WIDTH)}, tmp_path / "learned_embeds.safetensors")
    save_file({"<style>": vectors(3, WIDTH).half()}, tmp_path / "style.safetensors")
    save_file({"emb_params": vectors(2, WIDTH)}, tmp_path / "badhands.safetensors")
    return tuple(tmp_path / f"{name}.safetensors" for name in ("learned_embeds", "style", "badhands"))


@pytest.mark.parametrize("architecture", ["sd15", "sd21-base"])
@torch.no_grad()
def test_equals_diffusers(
    architecture: str, published: Publish, files: tuple[Path, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    folder = published(architecture)
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, local_files_only=True)
    width = pipe.text_encoder.config.hidden_size
    for file in files:
        resize(file, width)
        name = "badhands" if file.stem == "badhands" else None
        pipe.load_textual_inversion(str(file.parent), weight_name=file.name, token=name, local_files_only=True)
    model = open_checkpoint(folder, OpenOptions(embeddings=files))
    assert model.config.text.vocabulary == pipe.text_encoder.get_input_embeddings().weight.shape[0]
    for prompt in PROMPTS:
        expected, _ = pipe.encode_prompt(prompt, "cpu", 1, do_classifier_free_guidance=False)
        ids = torch.from_numpy(model.tokenizer.encode(prompt).ids)[None]
        if "<Style>" in prompt:  # diffusers finds it, and then leaves out all vectors but the first
            assert {49409, 49410, 49411} <= set(ids[0].tolist())
        else:
            assert (model.text_encoder(ids) - expected).abs().max() <= 1e-5


def resize(file: Path, width: int) -> None:
    """Give the vectors of a file the width of an encoder."""
    read = read_embedding(file, TEXT)
    name = "emb_params" if file.stem == "badhands" else read.token
    save_file({name: vectors(read.count, width)}, file)


def test_a_saved_checkpoint_keeps_the_tokens(published: Publish, files: tuple[Path, ...], tmp_path: Path) -> None:
    folder = published("sd15")
    model = open_checkpoint(folder, OpenOptions(embeddings=files))
    save_checkpoint(model, tmp_path / "saved")
    again = open_checkpoint(tmp_path / "saved")
    for prompt in PROMPTS:
        assert again.tokenizer.encode(prompt).ids.tolist() == model.tokenizer.encode(prompt).ids.tolist()
    assert again.config.text == model.config.text


def test_they_are_part_of_the_hash_and_of_what_is_told(published: Publish, files: tuple[Path, ...]) -> None:
    plain = open_source(published("sd15"))
    changed = open_source(published("sd15"), OpenOptions(embeddings=files))
    assert isinstance(changed, Checkpoint)
    assert changed.source_hash != plain.source_hash
    assert changed.changes == tuple(f"textual inversion {token}" for token in ("<toy>", "<style>", "badhands"))


def test_no_token_twice(published: Publish, files: tuple[Path, ...]) -> None:
    with pytest.raises(CheckpointError, match="expected a token that the tokenizer does not have, got '<toy>'"):
        open_source(published("sd15"), OpenOptions(embeddings=(files[0], files[0])))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"<toy>": vectors(32)}, "expected vectors of 48 numbers, as the text encoder, got 32"),
        ({"<toy>": vectors(2, 3, WIDTH)}, r"expected float vectors, got F32 of shape \[2, 3, 48\]"),
        ({"<toy>": torch.zeros(WIDTH, dtype=torch.int64)}, "expected float vectors, got I64"),
        ({"<toy>": torch.full((WIDTH,), torch.nan)}, "tensor '<toy>': expected finite weights, got NaN or inf"),
        ({"clip_l": vectors(1, WIDTH), "clip_g": vectors(1, 64)}, "got one of Stable Diffusion XL"),
        ({"a": vectors(WIDTH), "b": vectors(WIDTH)}, "expected a textual inversion of one tensor, got 2"),
        ({"a\0b": vectors(WIDTH)}, "expected a token's name"),
    ],
)
def test_what_is_no_textual_inversion_is_refused(tensors: dict[str, Tensor], message: str, tmp_path: Path) -> None:
    file = tmp_path / "learned_embeds.safetensors"
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_embedding(file, TEXT)
    assert str(caught.value).startswith(str(file))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "learned_embeds.safetensors"
    save_file({"<toy>": vectors(WIDTH)}, file)
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="expected a whole safetensors file"):
        read_embedding(file, TEXT)
    with pytest.raises(CheckpointError, match="expected a whole safetensors file"):
        read_embedding(tmp_path / "absent.safetensors", TEXT)


@pytest.mark.parametrize(("suffix", "stored"), [(".bin", {"<toy>": vectors(WIDTH)}), (".pt", None)])
def test_a_pickle_is_refused_and_its_conversion_works(
    suffix: str, stored: dict[str, Tensor] | None, tmp_path: Path
) -> None:
    file = tmp_path / f"badhands{suffix}"
    web = {"string_to_param": {"*": vectors(2, WIDTH).requires_grad_()}, "name": "badhands"}
    torch.save(stored or web, file)
    with pytest.raises(CheckpointError, match="expected a .safetensors file, got a pickle") as caught:
        read_embedding(file, TEXT)
    code = str(caught.value).split("convert it: ")[1].replace("FILE", "file").replace("NEW", "new")
    new = tmp_path / "badhands.safetensors"
    save = {"save_file": save_file}
    assert code.startswith("safetensors.torch.save_file(")
    eval(code.removeprefix("safetensors.torch."), {"torch": torch, "file": file, "new": new, **save})
    assert read_embedding(new, TEXT).token == ("<toy>" if stored else "badhands")
