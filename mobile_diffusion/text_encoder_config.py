"""Configurations of the text encoders: BERT, CLIP, and SDXL's pair of CLIPs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mobile_diffusion.field_rules import require, require_positive
from mobile_diffusion.model_limits import TOKENS, require_few_blocks


class OneEncoder:
    """A single text encoder, which has no pooled output; SDXL has a pair (`ClipPairConfig`)."""

    max_tokens: int
    width: int

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of the context per text encoder."""
        return (self.width,)

    @property
    def tokens_shape(self) -> tuple[int, ...]:
        """Shape (1, L) of an encoded prompt's ids."""
        return (1, self.max_tokens)

    @property
    def pooled_width(self) -> int:
        """0: the encoder has no pooled output."""
        return 0

    @property
    def zero_null(self) -> bool:
        """False: a missing negative prompt is the encoded empty prompt."""
        return False


@dataclass(frozen=True)
class BertConfig(OneEncoder):
    """A BERT encoder (Devlin et al. 2019), such as MiniLM."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    intermediate: int
    positions: int = 512
    token_types: int = 2
    epsilon: float = 1e-12
    max_tokens: int = 24
    """Length L of every encoded prompt, including start and end token."""
    kind: Literal["bert"] = "bert"

    def __post_init__(self) -> None:
        require(self.kind == "bert", self, "kind", "'bert'")
        _check_text(self)

    @property
    def uses_mask(self) -> bool:
        """True: the encoder needs a mask that marks padding."""
        return True


@dataclass(frozen=True)
class ClipTextConfig(OneEncoder):
    """The text tower of CLIP (Radford et al. 2021), as Stable Diffusion uses it."""

    vocabulary: int = 49408
    width: int = 768
    layers: int = 12
    heads: int = 12
    intermediate: int = 3072
    positions: int = 77
    activation: Literal["quick_gelu", "gelu"] = "quick_gelu"
    epsilon: float = 1e-5
    max_tokens: int = 77
    kind: Literal["clip"] = "clip"

    def __post_init__(self) -> None:
        require(self.kind == "clip", self, "kind", "'clip'")
        require(self.activation in ("quick_gelu", "gelu"), self, "activation", "'quick_gelu' or 'gelu'")
        _check_text(self)

    @property
    def uses_mask(self) -> bool:
        """False: the encoder treats padding like any other token."""
        return False


@dataclass(frozen=True)
class ClipPairConfig:
    """SDXL's two text encoders (Podell et al. 2023): their contexts are joined, and the second has a pooled output."""

    first: ClipTextConfig
    """CLIP ViT-L in every published model."""
    second: ClipTextConfig
    """OpenCLIP ViT-bigG in every published model."""
    pooled_width: int
    """Width P of the pooled output, after the second encoder's projection."""
    end: int = 49407
    """Id of the end token, whose position has the pooled output."""
    skipped: int = 1
    """The context is the hidden state in front of so many last layers, without the final normalisation."""
    zero_null: bool = True
    """Whether a missing negative prompt is zeros instead of the encoded empty prompt."""
    kind: Literal["clip-pair"] = "clip-pair"

    def __post_init__(self) -> None:
        require(self.kind == "clip-pair", self, "kind", "'clip-pair'")
        require_positive(self, "pooled_width")
        same = self.first.max_tokens == self.second.max_tokens
        require(same, self, "second", f"max_tokens {self.first.max_tokens}, as the first encoder")
        vocabulary = self.second.vocabulary
        require(0 <= self.end < vocabulary, self, "end", f"one of the second encoder's {vocabulary} ids")
        most = min(self.first.layers, self.second.layers) - 1
        require(1 <= self.skipped <= most, self, "skipped", f"1 to {most}")

    @property
    def width(self) -> int:
        """Width D of the joined contexts."""
        return sum(self.widths)

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of the context per text encoder."""
        return (self.first.width, self.second.width)

    @property
    def max_tokens(self) -> int:
        """Length L of every encoded prompt."""
        return self.first.max_tokens

    @property
    def uses_mask(self) -> bool:
        """False: the encoders treat padding like any other token."""
        return False

    @property
    def tokens_shape(self) -> tuple[int, ...]:
        """Shape (1, 2, L) of an encoded prompt's ids: a row per encoder, as their padding differs."""
        return (1, 2, self.max_tokens)


TextConfig = BertConfig | ClipTextConfig | ClipPairConfig


def _check_text(config: BertConfig | ClipTextConfig) -> None:
    """Raise ConfigError unless the sizes of a text encoder are positive and within the limits."""
    require_positive(config, "vocabulary", "width", "layers", "heads", "intermediate", "positions", "epsilon")
    require_few_blocks(config, config.layers)
    require(config.width % config.heads == 0, config, "heads", f"a divisor of the width {config.width}")
    longest = min(config.positions, TOKENS)
    require(2 < config.max_tokens <= longest, config, "max_tokens", f"3 to {longest}")
