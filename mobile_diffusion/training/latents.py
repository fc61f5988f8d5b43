"""The inputs of U-Net training, computed once: latents of every picture, text embeddings of every caption.

They are kept in the run's folder as safetensors, so that a resumed run starts at once.  Contexts are in float16,
because there are tens of thousands of them.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.data import Sample, captions
from mobile_diffusion.data.typed_captions import LABEL_FORMS, typed_captions
from mobile_diffusion.errors import TrainingError
from mobile_diffusion.progress import Progress, part_of, silent, tracked
from mobile_diffusion.quoting import quoted, shortened
from mobile_diffusion.staging import staged_file
from mobile_diffusion.text_encoder import TextEncoder
from mobile_diffusion.tokenization.tokenizer import Tokenizer
from mobile_diffusion.training import workers
from mobile_diffusion.training.images import stack_images, to_signed
from mobile_diffusion.training.network_hashes import network_hashes
from mobile_diffusion.training.run_folder import room_for

LOGGER = logging.getLogger(__name__)
CACHE = "inputs.safetensors"


@dataclass(frozen=True)
class TrainingInputs:
    """Latents, contexts, and the captions of each picture."""

    latents: Tensor
    """float32 (N, C, h, w), scaled to a standard deviation of about one."""
    contexts: Tensor
    """float16 (captions, L, D), zero at padded positions; row 0 is the null condition."""
    first_caption: Tensor
    """int64 (N,): row of `contexts` with each picture's label and style."""
    caption_count: Tensor
    """int64 (N,): number of rows from there on that belong to the picture."""
    label_forms: int = 1
    """How many of them, the first ones, say the label; the same for every picture."""

    def placed(self, device: torch.device) -> TrainingInputs:
        """The same on a GPU if all of it takes at most half of the memory that is free there, else as it is.

        A batch is then gathered where it is needed.  Rows of captions stay on the CPU, where they are drawn.
        """
        size = self.latents.nbytes + self.contexts.nbytes
        if device.type != "cuda" or 2 * size > torch.cuda.mem_get_info(device)[0]:
            return self
        return replace(self, latents=self.latents.to(device), contexts=self.contexts.to(device))


@torch.no_grad()
def encode_images(autoencoder: Autoencoder, images: Tensor, progress: Progress = silent) -> Tensor:
    """uint8 (N, 3, H, W) -> unscaled posterior means float32 (N, C, h, w)."""
    device = next(autoencoder.parameters()).device
    parts = tracked(images.split(16), "encoding pictures", progress)
    latents = torch.cat([autoencoder.encode(to_signed(part).to(device))[0].cpu() for part in parts])
    return latents.contiguous()  # safetensors does not write channels-last, in which such a network returns latents


@torch.no_grad()
def encode_captions(
    tokenizer: Tokenizer, text_encoder: TextEncoder, texts: list[str], progress: Progress = silent
) -> Tensor:
    """Texts -> contexts float16 (N, L, D), zero at masked positions; raises TrainingError for SDXL's encoders."""
    if text_encoder.config.pooled_width:
        raise TrainingError("expected a model whose U-Net reads one text, got SDXL's: it cannot be trained here yet")
    device = next(text_encoder.parameters()).device
    rows = []
    for start in tracked(range(0, len(texts), 256), "encoding captions", progress):
        tokens = [tokenizer.encode(text) for text in texts[start : start + 256]]
        arrays = {"tokens": np.stack([token.ids for token in tokens])}
        if text_encoder.uses_mask:
            arrays["mask"] = np.stack([token.mask for token in tokens])
        inputs = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
        rows.append(text_encoder.conditions(**inputs)["context"].half().cpu())  # (256, L, D)
    return torch.cat(rows)


def prepare_inputs(
    samples: list[Sample],
    autoencoder: Autoencoder,
    tokenizer: Tokenizer,
    text_encoder: TextEncoder,
    run: Path,
    typed: bool = False,
    progress: Progress = silent,
) -> TrainingInputs:
    """Compute the inputs, or read those that an earlier start of the same run computed.

    With `typed` there are captions as people type them (`typed_captions`).
    Raises `TrainingError` when other networks or other pictures made the file of the run, or when it cannot be read.
    """
    cache, origin = run / CACHE, origin_of(samples, autoencoder, text_encoder, typed)
    if cache.exists():
        check_origin(cache, origin)
    elif workers.is_first():
        pictures, halves = stack_images(samples), (part_of(progress, 0.0, 0.5), part_of(progress, 0.5, 0.5))
        texts = _typed(samples, pictures) if typed else [captions(sample) for sample in samples]
        counts = torch.tensor([len(group) for group in texts])
        latents = encode_images(autoencoder, pictures, halves[0]) * autoencoder.config.scaling_factor
        words = ["", *(text for group in texts for text in group)]
        contexts = encode_captions(tokenizer, text_encoder, words, halves[1])
        first = 1 + torch.cumsum(counts, 0) - counts
        run.mkdir(parents=True, exist_ok=True)
        tensors = {"latents": latents, "contexts": contexts, "first_caption": first, "caption_count": counts}
        with room_for(cache), staged_file(cache) as scratch:
            save_file(tensors, scratch, origin)
        LOGGER.info("%d latents with standard deviation %.3f, %d captions", len(latents), latents.std(), len(contexts))
    workers.wait()
    return TrainingInputs(**load_file(cache), label_forms=LABEL_FORMS if typed else 1)


def _typed(samples: Sequence[Sample], pictures: Tensor) -> list[list[str]]:
    """Captions as people type them, of samples and their pictures uint8 (N, 3, H, W)."""
    arrays = pictures.permute(0, 2, 3, 1).numpy()  # (N, H, W, 3)
    return [typed_captions(sample, picture) for sample, picture in zip(samples, arrays, strict=True)]


def origin_of(
    samples: Sequence[Sample], autoencoder: nn.Module, text_encoder: nn.Module, typed: bool = False
) -> dict[str, str]:
    """What the inputs were made from: SHA-256 of the networks and of the pictures' names, and the kind of captions."""
    encoder, text = network_hashes(autoencoder, text_encoder)
    pictures = hashlib.sha256(json.dumps([sample.id for sample in samples]).encode()).hexdigest()
    kind = "typed" if typed else "stored"
    return {"autoencoder": encoder, "text encoder": text, "pictures": pictures, "captions": kind}


def check_origin(cache: Path, origin: Mapping[str, str]) -> None:
    """Raise `TrainingError` unless a safetensors file of a run says that it was made from `origin`."""
    fix = "delete the file to compute it anew, or choose another --run"
    try:
        with safe_open(cache, "pt") as file:
            found = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{cache}: expected the inputs of the run, got {shortened(str(error))}; {fix}") from None
    for what, wanted in origin.items():
        if found.get(what) != wanted:
            got = quoted(found[what][:12]) if what in found else "none"
            raise TrainingError(f"{cache}: expected inputs made from {what} {quoted(wanted[:12])}, got {got}; {fix}")
