"""Training pictures read from shards when they are needed, in an order that depends on the seed alone.

Every epoch shuffles the shards, takes them in windows, and shuffles the pictures of a window.  Step n takes the next
pictures after those of step n - 1, and each process reads its own share.  So a run can resume at any step without
stored state, and a batch is the same for any number of processes.  Files are mapped into memory, not loaded: all
processes must see all shards, on a file system that reads a hundred kilobytes at random places quickly.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.errors import ConfigError, DataError
from mobile_diffusion.training.batches import Picked
from mobile_diffusion.training.latents import TrainingInputs
from mobile_diffusion.training.network_hashes import network_hashes
from mobile_diffusion.training.shards import ShardIndex, read_index
from mobile_diffusion.training.workers import BatchShare

WINDOW = 16
"""Shards whose pictures are shuffled together."""


@dataclass(frozen=True)
class _Open:
    """An open shard."""

    file: Any
    first_caption: Tensor
    caption_count: Tensor


class ShardStream:
    """An endless `SampleSource` over a folder of shards."""

    def __init__(self, folder: Path, seed: int, window: int = WINDOW) -> None:
        """Raises DataError for an incomplete folder."""
        self.folder, self.seed, self.window = folder, seed, window
        self.index: ShardIndex = read_index(folder)
        self.opened = lru_cache(2 * window)(self._open)
        self.ordered, self.mixed = lru_cache(2)(self._order), lru_cache(2)(self._mix)
        self.null = self._slice(0, "contexts", 0, 1)

    def pick(self, step: int, count: int, generator: torch.Generator, part: BatchShare) -> Picked:
        """One part of a step's pictures with all their captions; raises DataError for a damaged shard."""
        places = [self.place(number) for number in part.of(torch.arange(step * count, (step + 1) * count)).tolist()]
        latents = torch.cat([self._slice(shard, "latents", row, 1) for shard, row in places]).float()
        contexts, counts = [self.null], []
        for shard, row in places:
            opened = self.opened(shard)
            counts.append(int(opened.caption_count[row]))
            contexts.append(self._slice(shard, "contexts", int(opened.first_caption[row]), counts[-1]))
        caption_count = torch.tensor(counts)
        first_caption = 1 + torch.cumsum(caption_count, 0) - caption_count
        inputs = TrainingInputs(latents, torch.cat(contexts), first_caption, caption_count)
        return inputs, torch.arange(len(places))

    def place(self, number: int) -> tuple[int, int]:
        """Shard and row of picture `number`, counted through all epochs."""
        epoch, rest = divmod(number, self.index.count)
        shards = self.ordered(epoch)
        for start in range(0, len(shards), self.window):
            window = tuple(shards[start : start + self.window])
            size = sum(self.index.shards[shard].count for shard in window)
            if rest < size:
                return self.mixed(window, f"{epoch} {start}")[rest]
            rest -= size
        raise AssertionError("a place beyond the epoch")

    def _order(self, epoch: int) -> list[int]:
        """The shards in the order of an epoch."""
        return self._permutation(len(self.index.shards), f"{epoch}")

    def _mix(self, window: tuple[int, ...], words: str) -> list[tuple[int, int]]:
        """Shard and row of every picture of a window, shuffled."""
        rows = [(shard, row) for shard in window for row in range(self.index.shards[shard].count)]
        return [rows[place] for place in self._permutation(len(rows), words)]

    def _permutation(self, count: int, words: str) -> list[int]:
        """The numbers below `count` in an order that depends on the seed and the words."""
        digest = hashlib.sha256(f"{self.seed} {words}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        return torch.randperm(count, generator=generator).tolist()

    def _open(self, shard: int) -> _Open:
        try:
            file: Any = safe_open(self.folder / self.index.shards[shard].file, framework="pt")
            return _Open(file, file.get_tensor("first_caption"), file.get_tensor("caption_count"))
        except (SafetensorError, OSError) as error:
            raise self._damaged(shard, error) from None

    def _slice(self, shard: int, name: str, start: int, count: int) -> Tensor:
        try:
            rows: Tensor = self.opened(shard).file.get_slice(name)[start : start + count]
        except (SafetensorError, OSError) as error:
            raise self._damaged(shard, error) from None
        return rows

    def _damaged(self, shard: int, error: Exception) -> DataError:
        path, reason = self.folder / self.index.shards[shard].file, str(error).splitlines()[0]
        return DataError(f"{path}: expected a shard, got {reason}; delete it and the index, and write again")


def open_stream(folder: Path, model: Model, styles: tuple[str, ...], groups: tuple[str, ...], seed: int) -> ShardStream:
    """The stream of a folder, whose shards must fit the model and the settings' styles and groups.

    Raises ConfigError for shards of other networks or other pictures, DataError for a damaged folder.
    """
    stream = ShardStream(folder, seed)
    for name, wanted, found in zip(
        ("autoencoder", "text encoder"),
        network_hashes(model.autoencoder, model.text_encoder),
        (stream.index.encoder, stream.index.text_encoder),
        strict=True,
    ):
        if wanted != found:
            raise ConfigError(
                f"{folder}: expected shards of {name} {wanted[:12]}, got those of {found[:12]}; write them again"
            )
    for name, chosen, held in (("styles", styles, stream.index.styles), ("groups", groups, stream.index.groups)):
        if set(chosen) != set(held):
            raise ConfigError(f"{folder}: expected shards of {name} {chosen}, got {held}; fix the settings")
    return stream
