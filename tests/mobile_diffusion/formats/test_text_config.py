"""Reading transformers' config.json of a text encoder."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from mobile_diffusion.config import ClipTextConfig
from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.text_config import clip_config_from_transformers, read_text_config

SD1 = {
    "_name_or_path": "openai/clip-vit-large-patch14",
    "architectures": ["CLIPTextModel"],
    "attention_dropout": 0.0,
    "bos_token_id": 0,
    "dropout": 0.0,
    "eos_token_id": 2,
    "hidden_act": "quick_gelu",
    "hidden_size": 768,
    "initializer_factor": 1.0,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 77,
    "model_type": "clip_text_model",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 1,
    "projection_dim": 768,
    "torch_dtype": "float16",
    "transformers_version": "4.22.0.dev0",
    "vocab_size": 49408,
}
"""As Stable Diffusion 1.5 has it."""
SD2 = {**SD1, "hidden_act": "gelu", "hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16,
       "num_hidden_layers": 23, "projection_dim": 512}  # fmt: skip
SD2_TEXT = ClipTextConfig(width=1024, layers=23, heads=16, intermediate=4096, activation="gelu")


@pytest.mark.parametrize(("values", "config"), [(SD1, ClipTextConfig()), (SD2, SD2_TEXT)])
def test_reads_stable_diffusion_1_and_2(values: dict[str, Any], config: ClipTextConfig) -> None:
    assert clip_config_from_transformers(values) == config


@pytest.mark.parametrize("changes", [{}, {"hidden_act": "gelu", "hidden_size": 64, "num_attention_heads": 4}])
def test_reads_what_transformers_writes(changes: dict[str, Any], tmp_path: Path) -> None:
    """Both what it saves, which leaves out defaults, and all that it knows."""
    config = transformers.CLIPTextConfig(**changes)
    config.save_pretrained(tmp_path)
    read = read_text_config(tmp_path / "config.json")
    assert (read.width, read.heads, read.activation) == (
        config.hidden_size, config.num_attention_heads, config.hidden_act,
    )  # fmt: skip
    assert read == clip_config_from_transformers(json.loads(json.dumps(config.to_dict())))


def test_an_empty_file_is_transformers_defaults() -> None:
    assert clip_config_from_transformers({}) == dataclasses.replace(
        ClipTextConfig(), width=512, heads=8, intermediate=2048
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architectures": ["CLIPModel"]}, "expected a CLIPTextModel, got CLIPModel, CLIP with its image tower"),
        ({"architectures": ["T5EncoderModel"]}, "expected a CLIPTextModel, got T5EncoderModel, a text encoder of"),
        ({"architectures": ["RobertaSeriesModelWithTransformation"]}, "AltDiffusion"),
        ({"architectures": ["Strange"]}, "got Strange, which is not supported"),
        ({"architectures": "CLIPTextModel"}, "option 'architectures': expected a list of names"),
        ({"model_type": "clip"}, "option 'model_type': expected 'clip_text_model', got 'clip'"),
        ({"hidden_act": "gelu_new"}, "option 'hidden_act': expected 'quick_gelu' or 'gelu', got 'gelu_new'"),
        ({"hidden_act": ["gelu"]}, "option 'hidden_act'"),
        ({"use_attention_mask": True}, "option 'use_attention_mask': expected False or None, got True"),
        ({"is_decoder": True}, "option 'is_decoder'"),
        ({"pruned_heads": {"1": [2]}}, "option 'pruned_heads'"),
        ({"quantization_config": {"bits": 4}}, "option 'quantization_config'"),
        ({"hidden_size": "768"}, "option 'hidden_size': expected a whole number, got '768'"),
        ({"num_attention_heads": 0}, "option 'num_attention_heads': expected a positive number, got 0"),
        ({"num_attention_heads": 7}, "ClipTextConfig.heads is 7; expected a divisor of the width 768"),
        ({"max_position_embeddings": 2}, "max_tokens is 2; expected 3 to 2"),
        ({"rotary": True}, "option 'rotary': expected no such option, got True"),
    ],
)
def test_what_is_not_computed_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        clip_config_from_transformers({**SD1, **changes}, Path("text_encoder/config.json"))
    assert str(caught.value).startswith("text_encoder/config.json: ")
    assert "\n" not in str(caught.value)
