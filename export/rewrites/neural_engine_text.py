"""The text encoders in the Neural Engine's layout: (B, width, 1, L) between the embeddings and the context.

The word embedding remains a gather, the only one: a vocabulary is too large for a look-up by comparison.
"""

from __future__ import annotations

from torch import Tensor, nn

from export.rewrites.split_einsum import channels_last, positions_last, split_einsum_attention
from mobile_diffusion.bert_encoder import BertEmbeddings, BertEncoder, BertSelfAttention, padding_mask
from mobile_diffusion.clip_encoder import ClipAttention, ClipPairEncoder, ClipTransformer


class ChannelsFirstBertEmbeddings(BertEmbeddings):
    """The sum of word, position and token-type embeddings, normalized over the channels."""

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L) -> (B, width, 1, L)."""
        x = self.word_embeddings(tokens) + self.position_embeddings.weight[: tokens.shape[1]]
        return self.LayerNorm(positions_last(x + self.token_type_embeddings.weight[0]))


class ChannelsFirstBertAttention(BertSelfAttention):
    """One attention layer without its output projection."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, width, 1, L), mask (B, L, 1, 1) -> (B, width, 1, L)."""
        return split_einsum_attention(self.query(x), self.key(x), self.value(x), self.heads, mask)


class ChannelsFirstBert(BertEncoder):
    """BERT with tokens and context in the stage's layout, and positions last in between."""

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """tokens and mask (B, L) -> (B, L, width)."""
        x = self.embeddings(tokens)
        added = padding_mask(mask, x.dtype).reshape(*mask.shape, 1, 1)  # (B, L, 1, 1)
        return channels_last(self.encoder(x, added))


class ChannelsFirstClipAttention(ClipAttention):
    """Causal attention with its four projections."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, width, 1, L), mask (1, keys, 1, queries) of size L each -> (B, width, 1, L)."""
        mixed = split_einsum_attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads, mask)
        return self.out_proj(mixed)


class ChannelsFirstClip(ClipTransformer):
    """CLIP's text encoder with tokens and context in the stage's layout, and positions last in between."""

    def two_states(self, tokens: Tensor, skipped: int) -> tuple[Tensor, Tensor]:
        """tokens (B, L) -> two states (B, L, width)."""
        length = tokens.shape[1]
        mask = self.causal_mask[:, :, :length, :length].permute(0, 3, 1, 2)  # (1, L, 1, L): keys, queries
        states = self.encoder(positions_last(self.embeddings(tokens)), mask)
        return channels_last(states[-1 - skipped]), channels_last(self.final_layer_norm(states[-1]))


class ChannelsFirstClipPair(ClipPairEncoder):
    """SDXL's two text encoders; the end token is looked up by a sum, and projected by a convolution."""

    def pool(self, states: Tensor, at_end: Tensor) -> Tensor:
        """(B, L, D2), (B, L) -> (B, P)."""
        state = (states * at_end[:, :, None]).sum(1)  # (B, D2)
        return self.text_encoder_2.text_projection(state[:, :, None, None]).flatten(1)


TEXT: dict[type[nn.Module], type[nn.Module]] = {
    BertEmbeddings: ChannelsFirstBertEmbeddings,
    BertSelfAttention: ChannelsFirstBertAttention,
    BertEncoder: ChannelsFirstBert,
    ClipAttention: ChannelsFirstClipAttention,
    ClipTransformer: ChannelsFirstClip,
    ClipPairEncoder: ChannelsFirstClipPair,
}
"""Maps each class to the class whose `forward` replaces its own."""
