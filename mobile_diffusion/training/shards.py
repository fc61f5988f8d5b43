"""A data set encoded into shards, for U-Net training on sets that do not fit into memory.

    SHARDS/shards.json              the list of shards, and the hashes of the networks that encoded them; written last
    SHARDS/shard-00000.safetensors  latents float16 (N, C, h, w), contexts float16 (captions, L, D) with the null
                                    condition first, first_caption and caption_count int64 (N,); the captions
                                    themselves are in its metadata

Each of several processes writes a share of the shards.  A shard gets its name when it is complete, so a killed command
resumes.  Rounding latents to float16 costs 2^-11 of a value, far less than what the autoencoder loses.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.config_json import from_dict, to_dict
from mobile_diffusion.data import Sample, captions
from mobile_diffusion.errors import ConfigError, DataError
from mobile_diffusion.progress import Progress, part_of, silent
from mobile_diffusion.staging import staged_file, write_bytes
from mobile_diffusion.strict_json import parse_json
from mobile_diffusion.training import workers
from mobile_diffusion.training.images import stack_images
from mobile_diffusion.training.latents import encode_captions, encode_images
from mobile_diffusion.training.network_hashes import network_hashes
from mobile_diffusion.training.run_folder import remove_leftovers, room_for

LOGGER = logging.getLogger(__name__)
INDEX = "shards.json"


@dataclass(frozen=True)
class Shard:
    """One file of the folder."""

    file: str
    count: int
    """Pictures."""
    bytes: int


@dataclass(frozen=True)
class ShardIndex:
    """The content of `shards.json`."""

    plan: str
    """SHA-256 over the pictures' names in their order, the number of pictures per shard, and the networks."""
    styles: tuple[str, ...]
    groups: tuple[str, ...]
    encoder: str
    """SHA-256 of the weights that encoded the pictures."""
    text_encoder: str
    """SHA-256 of the weights that encoded the captions."""
    latent_shape: tuple[int, ...]
    """(C, h, w)."""
    context_shape: tuple[int, ...]
    """(L, D)."""
    shards: tuple[Shard, ...]

    @property
    def count(self) -> int:
        """Pictures of all shards."""
        return sum(shard.count for shard in self.shards)


def read_index(folder: Path) -> ShardIndex:
    """The index of a folder; raises DataError when it is malformed, or a shard is missing or has another size."""
    try:
        index = from_dict(ShardIndex, parse_json((folder / INDEX).read_text(encoding="utf-8")))
    except (OSError, ValueError, ConfigError) as error:
        raise DataError(f"{folder / INDEX}: expected an index of shards, got {error}; run `train shards`") from None
    for shard in index.shards:
        path = folder / shard.file
        size = path.stat().st_size if path.is_file() else None
        if size != shard.bytes:
            got = "none" if size is None else f"{size}"
            raise DataError(f"{path}: expected a shard of {shard.bytes} bytes, got {got}; delete {INDEX}, write again")
    return index


def write_shards(
    model: Model,
    samples: Sequence[Sample],
    styles: tuple[str, ...],
    groups: tuple[str, ...],
    size: int,
    out: Path,
    progress: Progress = silent,
) -> ShardIndex:
    """Encode samples into shards of `size` pictures in a shuffled order; all processes call it together.

    Raises DataError when the folder holds shards of other pictures, another size or other networks, TrainingError
    when the disk is full.
    """
    hashes = network_hashes(model.autoencoder, model.text_encoder)
    order = torch.randperm(len(samples), generator=torch.Generator().manual_seed(0)).tolist()
    mixed = [samples[place] for place in order]
    plan = hashlib.sha256(json.dumps([*hashes, size, [sample.id for sample in mixed]]).encode()).hexdigest()
    pieces = [mixed[start : start + size] for start in range(0, len(mixed), size)]
    paths = [out / f"shard-{number:05d}.safetensors" for number in range(len(pieces))]
    out.mkdir(parents=True, exist_ok=True)
    if (out / INDEX).exists() and read_index(out).plan != plan:
        raise _other_shards(out)
    if workers.is_first():
        remove_leftovers(out)
    workers.wait()
    for number in range(workers.rank(), len(pieces), workers.count()):
        if paths[number].exists():
            _check_plan(paths[number], plan)
        else:
            part = part_of(progress, number / len(pieces), 1 / len(pieces))
            _write_shard(model, pieces[number], plan, paths[number], part)
            LOGGER.info("%s written, %d of %d", paths[number], number + 1, len(pieces))
    workers.wait()
    found = tuple(Shard(path.name, len(piece), path.stat().st_size) for path, piece in zip(paths, pieces, strict=True))
    with safe_open(paths[0], framework="pt") as file:
        shapes = [tuple(file.get_slice(name).get_shape()[1:]) for name in ("latents", "contexts")]
    index = ShardIndex(plan, styles, groups, hashes[0], hashes[1], shapes[0], shapes[1], found)
    if workers.is_first():
        write_bytes((json.dumps(to_dict(index), indent=1) + "\n").encode(), out / INDEX)
    workers.wait()
    return index


def _check_plan(path: Path, plan: str) -> None:
    try:
        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get("plan")
    except (SafetensorError, OSError) as error:
        raise DataError(f"{path}: expected a shard, got {error}; delete it") from None
    if found != plan:
        raise _other_shards(path.parent)


def _other_shards(folder: Path) -> DataError:
    return DataError(f"{folder}: expected shards of these pictures and networks, got others; choose another --out")


@torch.no_grad()
def _write_shard(model: Model, samples: Sequence[Sample], plan: str, path: Path, progress: Progress) -> None:
    assert isinstance(model.autoencoder, Autoencoder)  # open_placed
    texts = [captions(sample) for sample in samples]
    counts = torch.tensor([len(group) for group in texts])
    halves = part_of(progress, 0.0, 0.5), part_of(progress, 0.5, 0.5)
    latents = encode_images(model.autoencoder, stack_images(list(samples)), halves[0])
    words = ["", *(text for group in texts for text in group)]
    tensors = {
        "latents": (latents * model.autoencoder.config.scaling_factor).half(),
        "contexts": encode_captions(model.tokenizer, model.text_encoder, words, halves[1]),
        "first_caption": 1 + torch.cumsum(counts, 0) - counts,
        "caption_count": counts,
    }
    with room_for(path), staged_file(path) as scratch:
        save_file(tensors, scratch, metadata={"plan": plan, "captions": json.dumps(texts)})
