"""Both text encoders against transformers' on shared weights, and what the backends need of their graphs."""

from __future__ import annotations

import dataclasses
import json
import random
import shutil
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mobile_diffusion.config import BertConfig, ClipTextConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.presets import PRESETS
from mobile_diffusion.text_encoder import (
    BertEncoder,
    ClipTextEncoder,
    build_text_encoder,
    skip_last_layers,
    without_position_ids,
    without_skipped_layers,
)
from mobile_diffusion.tokenization.tokenizer import ClipTokenizer, WordPieceTokenizer

ASSETS = Path(__file__).parents[2] / "assets"
EMOJI = ASSETS / "emoji"
CLIP = Path(__file__).parents[2] / "mobile_diffusion" / "clip_vocabulary"
NARROW_BERT = BertConfig(64, 32, layers=2, heads=4, intermediate=48, positions=16, max_tokens=8)
NARROW_CLIP = ClipTextConfig(64, 32, layers=2, heads=4, intermediate=48, positions=16, max_tokens=16)
SUBJECTS = (
    "apple",
    "pizza",
    "heart",
    "cat",
    "снеговик",
    "红苹果",
    "🍎",
    "りんご",
    "تفاحة",
    "antidisestablishment",
)
DETAILS = (
    "a",
    "red,",
    "3D",
    "(flat)",
    "emoji",
    "&",
    "1,234",
    "naïve",
    "사과",
    "सेब",
    "🚀😀",
    "half-moon",
    "déjà",
)
BACKEND_HOSTILE = ("scaled_dot_product", "where", "any", "eq", "logical", "index", "nonzero", "item")


def captions(count: int) -> list[str]:
    """Deterministic captions of no word to forty, over many scripts."""
    draw = random.Random(1)
    lengths = [0, *(draw.choice((2, 3, 4, 6, 8, 12, 40)) for _ in range(count - 1))]
    return [" ".join([draw.choice(SUBJECTS), *draw.choices(DETAILS, k=n)]) if n else "" for n in lengths]


def randomise(module: nn.Module) -> None:
    """Weights large enough that every operation shows in the output, normalisations and biases included."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)


def tokens_of(prompts: list[str]) -> tuple[Tensor, Tensor]:
    """(B, 24) ids and mask, int32."""
    tokenizer = WordPieceTokenizer.from_file(EMOJI / "tokenizer.json", max_tokens=24)
    encoded = [tokenizer.encode(prompt) for prompt in prompts]
    return (
        torch.stack([torch.from_numpy(tokens.ids) for tokens in encoded]),
        torch.stack([torch.from_numpy(tokens.mask) for tokens in encoded]),
    )


@pytest.fixture(scope="module")
def minilm() -> BertEncoder:
    """The emoji model's encoder; strict loading shows that the file has our names, no more and no fewer."""
    encoder = build_text_encoder(PRESETS["emoji"].text)
    encoder.load_state_dict(load_file(EMOJI / "text_encoder.safetensors"))
    assert isinstance(encoder, BertEncoder)
    return encoder


@torch.no_grad()
def test_shipped_bert_equals_transformers_on_200_captions(minilm: BertEncoder) -> None:
    config = PRESETS["emoji"].text
    reference = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=config.vocabulary,
            hidden_size=config.width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            intermediate_size=config.intermediate,
        ),
        add_pooling_layer=False,
    ).eval()
    reference.load_state_dict(load_file(EMOJI / "text_encoder.safetensors"))
    prompts = captions(200)
    assert len(set(prompts)) == 200
    tokens, mask = tokens_of(prompts)
    assert len(set(mask.sum(dim=1).tolist())) > 8  # lengths vary, up to cut ones
    difference = (minilm(tokens, mask) - reference(tokens, mask).last_hidden_state).abs()
    assert difference[mask.bool()].max() <= 1e-5


def transformers_clip(encoder: ClipTextEncoder, folder: Path) -> nn.Module:
    """Transformers' model, given our weights as a published checkpoint names them."""
    config = encoder.config
    transformers.CLIPTextConfig(
        vocab_size=config.vocabulary,
        hidden_size=config.width,
        intermediate_size=config.intermediate,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        max_position_embeddings=config.positions,
        hidden_act=config.activation,
        eos_token_id=config.vocabulary - 1,
    ).save_pretrained(folder)
    save_file(encoder.state_dict(), folder / "model.safetensors", {"format": "pt"})
    loaded: Any = transformers.CLIPTextModel.from_pretrained(folder, output_loading_info=True)
    model, info = loaded
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert isinstance(model, nn.Module)
    return model.eval()


@pytest.mark.parametrize("activation", ["quick_gelu", "gelu"])
@torch.no_grad()
def test_clip_equals_transformers(activation: Literal["quick_gelu", "gelu"], tmp_path: Path) -> None:
    encoder = ClipTextEncoder(dataclasses.replace(NARROW_CLIP, activation=activation)).eval()
    randomise(encoder)
    assert all(name.startswith("text_model.") for name in encoder.state_dict())
    tokens = torch.randint(64, (8, 16), generator=torch.Generator().manual_seed(1))
    expected = transformers_clip(encoder, tmp_path)(tokens).last_hidden_state
    assert expected.std() > 0.1
    assert (encoder(tokens) - expected).abs().max() <= 1e-5
    assert (encoder(tokens.int()[:, :9]) - expected[:, :9]).abs().max() <= 1e-5


def open_clip_h(width: int) -> ClipTextConfig:
    """Stable Diffusion 2's text tower as diffusers stores it, 23 layers and 16 heads, at a chosen width."""
    return ClipTextConfig(width=width, layers=23, heads=16, intermediate=4 * width, activation="gelu")


def real_tokens(padding: str, tmp_path: Path) -> Tensor:
    """(3, 77) ids of CLIP's tokenizer, padded with a token."""
    folder = Path(shutil.copytree(CLIP, tmp_path / "tokenizer"))
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        (folder / name).write_text(json.dumps({"pad_token": padding}), encoding="utf-8")
    tokenizer = ClipTokenizer.from_folder(folder, 77)
    return torch.stack([torch.from_numpy(tokenizer.encode(text).ids) for text in ("", "a red apple!", "苹果 " * 60)])


@torch.no_grad()
def test_open_clip_of_stable_diffusion_2_equals_transformers(tmp_path: Path) -> None:
    encoder = ClipTextEncoder(open_clip_h(width=64)).eval()
    randomise(encoder)
    tokens = real_tokens("!", tmp_path)
    expected = transformers_clip(encoder, tmp_path)(tokens.long()).last_hidden_state
    assert expected.std() > 0.1
    assert (encoder(tokens) - expected).abs().max() <= 1e-5


@pytest.mark.full
@pytest.mark.parametrize(("config", "padding"), [(ClipTextConfig(), "<|endoftext|>"), (open_clip_h(1024), "!")])
@torch.no_grad()
def test_real_widths_equal_transformers(config: ClipTextConfig, padding: str, tmp_path: Path) -> None:
    """Untrained weights: of the size that both papers draw."""
    encoder = ClipTextEncoder(config).eval()
    tokens = real_tokens(padding, tmp_path)
    expected = transformers_clip(encoder, tmp_path)(tokens.long()).last_hidden_state
    assert (encoder(tokens) - expected).abs().max() <= 1e-4


@pytest.mark.parametrize("skipped", [0, 1, 2, 4])
@torch.no_grad()
def test_skipped_layers_equal_diffusers_clip_skip(skipped: int, tmp_path: Path) -> None:
    """There it is the final normalisation of an earlier hidden state."""
    full = ClipTextEncoder(dataclasses.replace(NARROW_CLIP, layers=5)).eval()
    randomise(full)
    reference = transformers_clip(full, tmp_path)
    tokens = torch.randint(64, (8, 16), generator=torch.Generator().manual_seed(1))
    states = reference(tokens, output_hidden_states=True).hidden_states
    expected = reference.final_layer_norm(states[-(skipped + 1)])
    config = skip_last_layers(full.config, skipped)
    encoder = build_text_encoder(config)
    encoder.load_state_dict(without_skipped_layers(full.state_dict(), config))
    assert (encoder(tokens) - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("count", [-1, 12, 100])
def test_some_layer_must_remain(count: int) -> None:
    with pytest.raises(ConfigError, match=f"skip_layers: expected 0 to 11 of 12 layers, got {count}"):
        skip_last_layers(ClipTextConfig(), count)


@torch.no_grad()
def test_padding_has_no_influence(minilm: BertEncoder) -> None:
    tokens, mask = tokens_of(["a red apple", ""])
    noisy = torch.where(mask.bool(), tokens, 4242)
    assert torch.equal(minilm(tokens, mask)[mask.bool()], minilm(noisy, mask)[mask.bool()])


@torch.no_grad()
def test_clip_sees_no_later_token() -> None:
    encoder = build_text_encoder(NARROW_CLIP)
    randomise(encoder)
    tokens = torch.arange(16)[None]
    changed = tokens.where(tokens < 8, 63)
    assert torch.equal(encoder(tokens)[:, :8], encoder(changed)[:, :8])
    assert not torch.equal(encoder(tokens)[:, 8:], encoder(changed)[:, 8:])


@torch.no_grad()
def test_half_precision_stays_finite_and_near(minilm: BertEncoder) -> None:
    tokens, mask = tokens_of(["", "a red apple", "apple " * 40])
    half = build_text_encoder(PRESETS["emoji"].text).half()
    half.load_state_dict(minilm.state_dict())
    difference = (half(tokens, mask).float() - minilm(tokens, mask)).abs()
    assert difference[mask.bool()].max() <= 0.02
    clip = build_text_encoder(NARROW_CLIP).half()
    assert clip(torch.arange(16)[None]).isfinite().all()


def narrow_case(kind: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A narrow random encoder and its example inputs."""
    torch.manual_seed(0)
    if kind == "bert":
        mask = torch.tensor([[1, 1, 1, 1, 1, 0, 0, 0]], dtype=torch.int32)
        return build_text_encoder(NARROW_BERT), (torch.arange(8, dtype=torch.int32)[None], mask)
    return build_text_encoder(NARROW_CLIP), (torch.arange(16, dtype=torch.int32)[None],)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("kind", ["bert", "clip"])
@torch.no_grad()
def test_exports_as_a_static_graph_that_backends_take(kind: str, strict: bool) -> None:
    encoder, inputs = narrow_case(kind)
    randomise(encoder)
    program = torch.export.export(encoder, inputs, strict=strict).run_decompositions({})
    assert (program.module()(*inputs) - encoder(*inputs)).abs().max() <= 5e-6
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    shapes = [node.meta["val"].shape for node in calls if "val" in node.meta]
    assert shapes and all(type(side) is int for shape in shapes for side in shape)
    operations = {str(node.target).split(".")[1] for node in calls}
    assert not [name for name in operations if name.startswith(BACKEND_HOSTILE)]


def test_build_gives_the_encoder_of_the_configuration() -> None:
    assert isinstance(build_text_encoder(NARROW_BERT), BertEncoder)
    assert isinstance(build_text_encoder(NARROW_CLIP), ClipTextEncoder)
    assert BertEncoder.uses_mask and not ClipTextEncoder.uses_mask
    with pytest.raises(ConfigError, match="expected a BertConfig, ClipTextConfig or ClipPairConfig, got str"):
        build_text_encoder("bert")  # type: ignore[arg-type]


def test_stable_diffusion_text_tower_has_its_size() -> None:
    with torch.device("meta"):
        encoder = build_text_encoder(ClipTextConfig())
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 123_060_480


def test_position_ids_of_older_files_are_dropped() -> None:
    state = {
        "embeddings.position_ids": torch.arange(3),
        "text_model.embeddings.position_ids": torch.arange(3),
        "text_model.embeddings.position_embedding.weight": torch.zeros(3, 4),
    }
    assert list(without_position_ids(state)) == ["text_model.embeddings.position_embedding.weight"]
