"""Textual inversion (Gal et al. 2022): adds learned tokens to a checkpoint while it is opened.

A file has the vectors of one token.  diffusers' learned_embeds.safetensors contains the token's name; for a file of
AUTOMATIC1111's web interface ("emb_params") the file name is the token.  A token with n vectors becomes n tokens,
`x`, `x_1`, ..., and a prompt uses the first, as in diffusers.  A file for Stable Diffusion XL has the vectors for each
of its text encoders, "clip_l" and "clip_g", and its name is the token.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from mobile_diffusion.config import ClipPairConfig, ClipTextConfig
from mobile_diffusion.errors import CheckpointError, PromptError
from mobile_diffusion.formats.checkpoint_files import CheckpointFiles
from mobile_diffusion.quoting import quoted, shortened
from mobile_diffusion.tensor_layout import FLOATS, Shape, read_headers
from mobile_diffusion.tokenization.clip_pair import ClipPairTokenizer
from mobile_diffusion.tokenization.clip_tokenizer import ClipTokenizer
from mobile_diffusion.tokenization.tokenizer import Tokenizer
from mobile_diffusion.tokenization.tokens import check_prompt

TABLE = "text_model.embeddings.token_embedding.weight"
PAIR = {"text_encoder.": "clip_l", "text_encoder_2.": "clip_g"}
"""Beginning of our names in each of SDXL's text encoders, and the tensor of a file with its vectors."""
UNNAMED = "emb_params"
"""Name of the only tensor in a file of AUTOMATIC1111's web interface."""
DIFFUSERS_PICKLE = "torch.load(FILE)"
WEB_PICKLE = '{"emb_params": torch.load(FILE)["string_to_param"]["*"].detach()}'
Headers = Mapping[str, tuple[Shape, str]]
PICKLES = {".bin": DIFFUSERS_PICKLE, ".pt": WEB_PICKLE, ".pth": WEB_PICKLE, ".ckpt": WEB_PICKLE}
"""Suffix of a pickle -> Python expression for the tensors to convert; each suffix belongs to one program."""


@dataclass(frozen=True, eq=False)
class Embedding:
    """A learned token."""

    token: str
    """The word that a prompt uses."""
    vectors: Mapping[str, Tensor]
    """(n, D) float32, by the name of the embedding table that they are added to."""

    @property
    def tokens(self) -> list[str]:
        """The tokens to add to the tokenizer, one per vector."""
        return [self.token, *(f"{self.token}_{number}" for number in range(1, self.count))]

    @property
    def count(self) -> int:
        """Number n of vectors."""
        return len(next(iter(self.vectors.values())))


def read_embedding(file: Path, text: ClipTextConfig | ClipPairConfig) -> Embedding:
    """Read a textual inversion file for a text encoder, or for SDXL's two.

    Raises CheckpointError when the file is a pickle, is damaged, is not a textual inversion, has vectors of another
    width, or contains NaN or inf.
    """
    if file.suffix.lower() in PICKLES:
        raise CheckpointError(
            f"{file}: expected a .safetensors file, got a pickle, which can run code; if you trust it, convert it: "
            f"safetensors.torch.save_file({PICKLES[file.suffix.lower()]}, NEW)"
        )
    headers = read_headers(file)
    if isinstance(text, ClipPairConfig):
        names, widths = _two_tensors(file, headers), (text.first.width, text.second.width)
        tables = {prefix + TABLE: (names[prefix], width) for prefix, width in zip(PAIR, widths, strict=True)}
        token = _token(file, UNNAMED)
    else:
        name = _only_tensor(file, headers)
        tables, token = {TABLE: (name, text.width)}, _token(file, name)
    state = load_file(file)
    return Embedding(token, {table: _vectors(file, state, *wanted) for table, wanted in tables.items()})


def _vectors(file: Path, state: Mapping[str, Tensor], name: str, width: int) -> Tensor:
    """One tensor of a file as (n, width) float32."""
    vectors = torch.atleast_2d(state[name].float())
    if vectors.shape[1] != width:
        raise CheckpointError(
            f"{file}: expected vectors of {width} numbers, as the text encoder, got {vectors.shape[1]}: "
            "it was learned with another family of models"
        )
    if not vectors.isfinite().all():
        raise CheckpointError(f"{file}: tensor {quoted(name)}: expected finite weights, got NaN or inf")
    return vectors


def add_embeddings(source: CheckpointFiles, files: Sequence[Path]) -> CheckpointFiles:
    """Return the checkpoint with the learned tokens of `files` in its tokenizer, configuration and weights.

    Raises CheckpointError as `read_embedding` does, when the tokenizer already has one of the tokens, and when the
    model's text encoder is not CLIP's.
    """
    text = source.config.text
    if not files:
        return source
    if not isinstance(text, ClipTextConfig | ClipPairConfig):
        raise CheckpointError(f"{files[0]}: expected a model whose text encoder is CLIP, got {text.kind}; leave it out")
    embeddings = [read_embedding(file, text) for file in files]
    vocabulary = text.vocabulary if isinstance(text, ClipTextConfig) else text.first.vocabulary
    tokenizer = extend_tokenizer(source.open_tokenizer(), embeddings, vocabulary)
    first = tokenizer.vocabulary - sum(embedding.count for embedding in embeddings)
    grown = _grown(text, tokenizer.vocabulary)
    return dataclasses.replace(
        source,
        config=dataclasses.replace(source.config, text=grown),
        open_tokenizer=lambda: tokenizer,
        files=(*source.files, *files),
        adapters=(*source.adapters, lambda part, state: _insert(part, state, embeddings, first)),
        variations=(*source.variations, *(f"textual inversion {embedding.token}" for embedding in embeddings)),
    )


def _grown(text: ClipTextConfig | ClipPairConfig, vocabulary: int) -> ClipTextConfig | ClipPairConfig:
    """The configuration with embedding tables of this many rows."""
    if isinstance(text, ClipTextConfig):
        return dataclasses.replace(text, vocabulary=vocabulary)
    first, second = (dataclasses.replace(each, vocabulary=vocabulary) for each in (text.first, text.second))
    return dataclasses.replace(text, first=first, second=second)


def extend_tokenizer(
    tokenizer: Tokenizer, embeddings: Sequence[Embedding], vocabulary: int
) -> ClipTokenizer | ClipPairTokenizer:
    """Return the tokenizer with the learned tokens; their ids follow those that it has.

    Raises CheckpointError when it already has one of the tokens, or has more ids than `vocabulary`, the number of
    rows in the encoder's embedding table.
    """
    if not isinstance(tokenizer, ClipTokenizer | ClipPairTokenizer) or tokenizer.vocabulary > vocabulary:
        got = getattr(tokenizer, "vocabulary", type(tokenizer).__name__)
        reason = f"expected CLIP's tokenizer with at most {vocabulary} ids, got {got}"
        raise CheckpointError(f"textual inversion: {reason}; use the tokenizer that belongs to the checkpoint")
    for embedding in embeddings:
        tokenizer = tokenizer.with_tokens(embedding.tokens)
    return tokenizer


def _insert(part: str, state: dict[str, Tensor], embeddings: Sequence[Embedding], first: int) -> None:
    """Make the learned vectors the rows of the token embedding from `first` on, in place.

    Rows of the table beyond the tokenizer's ids (padding) are dropped, as diffusers does.
    """
    if part == "text_encoder":
        for table in embeddings[0].vectors:
            state[table] = torch.cat([state[table][:first], *(embedding.vectors[table] for embedding in embeddings)])


def _two_tensors(file: Path, headers: Headers) -> dict[str, str]:
    """The tensor of a file for each of SDXL's encoders; raises CheckpointError unless both have as many vectors."""
    if headers.keys() != set(PAIR.values()):
        got = shortened(", ".join(sorted(headers)))
        raise CheckpointError(
            f"{file}: expected a textual inversion of Stable Diffusion XL, {' and '.join(PAIR.values())}, got {got}; "
            "use one that was learned with this family of models"
        )
    for name, (shape, dtype) in headers.items():
        _check_vectors(file, name, shape, dtype)
    counts = {shape[0] if len(shape) == 2 else 1 for shape, _ in headers.values()}
    if len(counts) > 1:
        raise CheckpointError(f"{file}: expected as many vectors for both text encoders, got {sorted(counts)}")
    return PAIR


def _only_tensor(file: Path, headers: Headers) -> str:
    """The name of the only tensor in a textual inversion file; raises CheckpointError for any other file."""
    if headers.keys() & set(PAIR.values()):
        raise CheckpointError(
            f"{file}: expected a textual inversion of Stable Diffusion 1 or 2, got one of Stable Diffusion XL"
        )
    if len(headers) != 1:
        hint = "a LoRA needs the option --lora"
        raise CheckpointError(f"{file}: expected a textual inversion of one tensor, got {len(headers)}; {hint}")
    ((name, (shape, dtype)),) = headers.items()
    _check_vectors(file, name, shape, dtype)
    return name


def _check_vectors(file: Path, name: str, shape: Shape, dtype: str) -> None:
    """Raise CheckpointError unless a tensor holds one or several vectors of floats."""
    if dtype not in FLOATS or len(shape) not in (1, 2) or 0 in shape:
        raise CheckpointError(
            f"{file}: tensor {quoted(name)}: expected float vectors, got {dtype} of shape {shortened(list(shape))}"
        )


def _token(file: Path, name: str) -> str:
    """The word that a prompt uses: the tensor's name, or the file's name when the tensor is unnamed."""
    token = file.stem if name == UNNAMED else name
    try:
        check_prompt(token)
    except PromptError as error:
        raise CheckpointError(f"{file}: expected a token's name, got {quoted(token)}: {error}") from error
    return token
