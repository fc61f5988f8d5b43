"""Shards of encoded pictures: written by several processes, read in an order that the seed alone decides."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.data import Sample, captions
from mobile_diffusion.errors import ConfigError, DataError
from mobile_diffusion.training import shards, workers
from mobile_diffusion.training.batches import Picked
from mobile_diffusion.training.checkpoints import training_source
from mobile_diffusion.training.latents import encode_captions, encode_images
from mobile_diffusion.training.loop import step_generator, train
from mobile_diffusion.training.network_hashes import network_hashes
from mobile_diffusion.training.sharded_state import newest_state
from mobile_diffusion.training.shards import INDEX, read_index, write_shards
from mobile_diffusion.training.stream import ShardStream, open_stream
from mobile_diffusion.training.workers import WHOLE, BatchShare
from tests.mobile_diffusion.training.train_small import fail, losses, start, task_of

COUNT, SIZE = 11, 3
STEPS = 6


def sample_of(number: int) -> Sample:
    """A picture with one to three captions more than its label."""
    words = {"package": "drawn", "version": "1", "licence": "MIT", "group": "food", "split": "train", "style": "3d"}
    return Sample(
        **words,  # type: ignore[arg-type]
        id=f"3d/{number}",
        hexcode=f"{number}",
        emoji="x",
        label=f"picture {number}",
        keywords=("shape",) * (number % 3),
        family="x",
        image="x",
        folder=Path(),
    )


def images_of(samples: list[Sample]) -> torch.Tensor:
    """uint8 (N, 3, 32, 32): every picture is noise of its own."""
    generators = [torch.Generator().manual_seed(int(sample.hexcode)) for sample in samples]
    return torch.stack([torch.randint(256, (3, 32, 32), generator=each, dtype=torch.uint8) for each in generators])


def write(model: Model, out: Path, size: int = SIZE) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "stack_images", images_of)
        write_shards(model, [sample_of(number) for number in range(COUNT)], ("3d",), (), size, out)


@pytest.fixture(scope="module")
def folder(tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four shards of eleven pictures; do not change them."""
    out = tmp_path_factory.mktemp("shards")
    write(tiny_model, out)
    return out


def copied(folder: Path, out: Path) -> Path:
    out.mkdir()
    for path in folder.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    return out


def pick(stream: ShardStream, step: int, count: int = 4, part: BatchShare = WHOLE) -> Picked:
    return stream.pick(step, count, step_generator(0, step), part)


def test_a_stream_gives_what_the_networks_encode(folder: Path, tiny_model: Model) -> None:
    samples = [sample_of(number) for number in range(COUNT)]
    latents = encode_images(tiny_model.autoencoder, images_of(samples)) * 0.5  # type: ignore[arg-type]
    inputs, chosen = pick(ShardStream(folder, 0, window=2), 0, COUNT)
    places = [int((latents - each).abs().mean(dim=(1, 2, 3)).argmin()) for each in inputs.latents[chosen]]
    assert sorted(places) == list(range(COUNT)) != places
    assert torch.allclose(inputs.latents, latents[places], atol=2e-3)  # float16
    for number, first, count in zip(places, inputs.first_caption, inputs.caption_count, strict=True):
        texts = captions(samples[number])
        assert int(count) == len(texts)
        expected = encode_captions(tiny_model.tokenizer, tiny_model.text_encoder, texts)
        assert torch.allclose(inputs.contexts[first : first + count].float(), expected.float(), atol=1e-2)
    null = encode_captions(tiny_model.tokenizer, tiny_model.text_encoder, [""])
    assert torch.allclose(inputs.contexts[:1].float(), null.float(), atol=1e-2)
    with safe_open(folder / "shard-00000.safetensors", framework="pt") as file:
        assert len(json.loads(file.metadata()["captions"])) == SIZE


def test_every_epoch_has_every_picture_once_in_an_order_of_its_own(folder: Path) -> None:
    stream = ShardStream(folder, 0, window=2)
    epochs = [[stream.place(epoch * COUNT + number) for number in range(COUNT)] for epoch in range(3)]
    assert all(sorted(epoch) == sorted(epochs[0]) for epoch in epochs) and len(set(epochs[0])) == COUNT
    assert epochs[0] != epochs[1] != epochs[2]
    assert [stream.place(number) for number in range(COUNT)] == epochs[0]
    other = ShardStream(folder, 1, window=2)
    assert [other.place(number) for number in range(COUNT)] != epochs[0]


def test_parts_are_the_batch_and_any_step_can_be_asked_for(folder: Path) -> None:
    stream = ShardStream(folder, 0)
    whole = pick(stream, 8)[0].latents  # over the end of an epoch
    parts = [pick(ShardStream(folder, 0), 8, part=BatchShare(index, 2))[0].latents for index in range(2)]
    assert torch.equal(torch.stack(parts, dim=1).flatten(0, 1), whole)
    assert not torch.equal(whole, pick(stream, 9)[0].latents)


def test_a_killed_writing_goes_on(folder: Path, tiny_model: Model, tmp_path: Path) -> None:
    out = copied(folder, tmp_path / "out")
    (out / INDEX).unlink()
    (out / "shard-00002.safetensors").unlink()
    kept = (out / "shard-00000.safetensors").stat().st_mtime_ns
    write(tiny_model, out)
    assert read_index(out) == read_index(folder)
    assert (out / "shard-00000.safetensors").stat().st_mtime_ns == kept
    (out / INDEX).unlink()
    with pytest.raises(DataError, match="expected shards of these pictures and networks, got others"):
        write(tiny_model, out, size=4)
    (out / "shard-00000.safetensors").write_bytes(b"x")
    with pytest.raises(DataError, match="shard-00000.safetensors: expected a shard, got .*; delete it"):
        write(tiny_model, out)


def test_processes_write_a_share_each(tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "count", lambda: 2)
    monkeypatch.setattr(workers, "rank", lambda: 1)
    with pytest.raises(FileNotFoundError):  # the other process has not written
        write(tiny_model, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"shard-0000{each}.safetensors" for each in (1, 3)]
    monkeypatch.setattr(workers, "rank", lambda: 0)
    write(tiny_model, tmp_path)
    assert read_index(tmp_path).count == COUNT


def test_damaged_and_missing_shards_are_named(folder: Path, tmp_path: Path) -> None:
    out = copied(folder, tmp_path / "out")
    path = out / "shard-00001.safetensors"
    content = path.read_bytes()
    path.write_bytes(b"\xff" * 100 + content[100:])
    with pytest.raises(DataError, match="shard-00001.safetensors: expected a shard, got .*; delete it and the index"):
        pick(ShardStream(out, 0), 0, COUNT)
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match=f"expected a shard of {len(content)} bytes, got {len(content) - 1}"):
        ShardStream(out, 0)
    path.unlink()
    with pytest.raises(DataError, match=f"expected a shard of {len(content)} bytes, got none"):
        ShardStream(out, 0)
    (out / INDEX).write_text("{}")
    with pytest.raises(DataError, match="expected an index of shards"):
        ShardStream(out, 0)


def test_shards_of_other_networks_and_pictures_are_refused(folder: Path, tiny_model: Model, tmp_path: Path) -> None:
    settings = task_of(1).training
    assert isinstance(training_source(tiny_model, settings, 0.5, folder, tmp_path), ShardStream)
    with pytest.raises(ConfigError, match=r"expected shards of styles \('flat',\), got \('3d',\)"):
        open_stream(folder, tiny_model, ("flat",), (), 0)
    changed = dataclasses.replace(tiny_model, autoencoder=copy.deepcopy(tiny_model.autoencoder))
    torch.nn.init.ones_(changed.autoencoder.get_parameter("decoder.conv_in.bias"))
    assert (
        network_hashes(changed.autoencoder, changed.text_encoder)[0] == read_index(folder).encoder
    )  # what decodes may change
    torch.nn.init.ones_(changed.autoencoder.get_parameter("encoder.conv_in.bias"))
    with pytest.raises(ConfigError, match="expected shards of autoencoder .*, got those of"):
        open_stream(folder, changed, ("3d",), (), 0)
    other = dataclasses.replace(tiny_model, text_encoder=torch.nn.Linear(2, 2))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="expected shards of text encoder .*, got those of"):
        open_stream(folder, other, ("3d",), (), 0)


@pytest.mark.full
def test_a_killed_run_on_a_stream_goes_on_with_one_process_and_with_two(folder: Path, tmp_path: Path) -> None:
    """The same batches whatever the number of processes; the tolerance is that of sums in another order."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(task_of(STEPS, data=folder), whole)
    done = start(2, cut, STEPS, data=folder, shard=True, fault=(1, 3, "kill"))
    assert done.returncode != 0 and "SIGKILL" in done.stderr and newest_state(cut) == cut / "state-000000002"
    task = task_of(STEPS, data=folder, shard=True)
    fail(task, 0, 5, "interrupt")
    with pytest.raises(KeyboardInterrupt):
        train(task, cut)
    done = start(2, cut, STEPS, data=folder, shard=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert losses(cut) == pytest.approx(losses(whole), abs=2e-5)
