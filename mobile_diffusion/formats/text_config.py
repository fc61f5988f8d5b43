"""Reads a transformers text_encoder/config.json into a `ClipTextConfig`.

Every option of transformers' CLIPTextModel, and of SDXL's second encoder, is either read, or checked against the value
that our encoder implements, or known to have no effect on its outputs.  Any other option is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mobile_diffusion.config import ClipPairConfig, ClipTextConfig
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.json_options import EMA_NOTES, Accepted, JsonOptions
from mobile_diffusion.quoting import shortened
from mobile_diffusion.strict_json import read_object

ARCHITECTURE = "CLIPTextModel"
PROJECTED = "CLIPTextModelWithProjection"
"""The same network with one more layer, which a pipeline whose index says ARCHITECTURE does not load."""
OTHERS = {
    "CLIPModel": "CLIP with its image tower",
    "T5EncoderModel": "a text encoder of Stable Diffusion 3, Flux or DeepFloyd IF",
    "BertModel": "a BERT encoder",
    "XLMRobertaModel": "a multilingual encoder (AltDiffusion)",
    "RobertaSeriesModelWithTransformation": "a multilingual encoder (AltDiffusion)",
    "LDMBertModel": "the encoder of latent diffusion before Stable Diffusion",
}
"""Class of an encoder that is not supported -> what it is, for the error message."""

ACTIVATIONS: dict[str, Literal["quick_gelu", "gelu"]] = {"quick_gelu": "quick_gelu", "gelu": "gelu"}
REQUIRED: dict[str, Accepted] = {
    "model_type": ("clip_text_model",),
    "use_attention_mask": (False, None),
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "cross_attention_hidden_size": (None,),
    "pruned_heads": ({}, None),
    "quantization_config": (None,),
}
"""Values that our encoder supports; the first is transformers' default."""

INACTIVE = (
    *("attention_dropout", "dropout", "initializer_factor", "initializer_range", "projection_dim"),
    *("bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "decoder_start_token_id", "prefix"),
    *("dtype", "torch_dtype", "torchscript", "transformers_version", "use_bfloat16", "tf_legacy_loss"),
    *("output_attentions", "output_hidden_states", "output_scores", "return_dict", "return_dict_in_generate"),
    *("chunk_size_feed_forward", "is_encoder_decoder", "tie_encoder_decoder", "tie_word_embeddings", "use_cache"),
    *("id2label", "label2id", "problem_type", "finetuning_task", "task_specific_params", "tokenizer_class"),
    *("min_length", "max_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups", "diversity_penalty"),
    *("temperature", "top_k", "top_p", "typical_p", "repetition_penalty", "length_penalty", "no_repeat_ngram_size"),
    *("encoder_no_repeat_ngram_size", "bad_words_ids", "num_return_sequences", "remove_invalid_values"),
    *("forced_bos_token_id", "forced_eos_token_id", "exponential_decay_length_penalty", "suppress_tokens"),
    *("begin_suppress_tokens", "gradient_checkpointing", "attn_implementation"),
)
"""Options without effect on the last hidden state: options for training, for other outputs, for text generation."""


LEGACY_END = 2
"""An end token that old files state wrongly: transformers then takes the largest id, which is CLIP's end token."""


@dataclass(frozen=True)
class ProjectedConfig:
    """A text encoder with a pooled output, SDXL's second."""

    text: ClipTextConfig
    pooled_width: int
    end: int | None
    """Id of the end token; None when the file states it wrongly."""


def read_text_config(file: Path) -> ClipTextConfig:
    """Read a text encoder's config.json; raise CheckpointError as `clip_config_from_transformers` does."""
    return clip_config_from_transformers(read_object(file), file)


def read_projected_config(file: Path) -> ProjectedConfig:
    """Read the config.json of SDXL's second text encoder; raise CheckpointError as `read_text_config` does."""
    values = read_object(file)
    options = JsonOptions(file, values)
    width, end = _positive(options, "projection_dim", 512), options.whole("eos_token_id", ClipPairConfig.end)
    text = clip_config_from_transformers(values, file, PROJECTED)
    return ProjectedConfig(text, width, None if end == LEGACY_END else end)


def clip_config_from_transformers(
    values: Mapping[str, Any], file: Path = Path("config.json"), architecture: str = ARCHITECTURE
) -> ClipTextConfig:
    """Convert transformers' options to a `ClipTextConfig`; error messages begin with `file`.

    Raises CheckpointError for an option that is unknown or has an unsupported value, and for a model of another
    class than `architecture`.
    """
    stated = {name: value for name, value in values.items() if name != "architectures" or value is not None}
    options = JsonOptions(file, stated)
    _check_architecture(options, architecture)
    options.require(REQUIRED, f"expected the {architecture} of a relative of Stable Diffusion 1, 2 or XL")
    options.ignore(*INACTIVE, *EMA_NOTES)
    positions = _positive(options, "max_position_embeddings", 77)
    try:
        config = ClipTextConfig(
            vocabulary=_positive(options, "vocab_size", 49408),
            width=_positive(options, "hidden_size", 512),
            layers=_positive(options, "num_hidden_layers", 12),
            heads=_positive(options, "num_attention_heads", 8),
            intermediate=_positive(options, "intermediate_size", 2048),
            positions=positions,
            activation=_activation(options),
            epsilon=options.number("layer_norm_eps", 1e-5),
            max_tokens=positions,
        )
    except ConfigError as error:
        raise CheckpointError(f"{file}: expected the options of a text encoder, got: {error}") from error
    options.finish()
    return config


def _check_architecture(options: JsonOptions, architecture: str) -> None:
    """Raise CheckpointError unless the model is of this class; a CLIPTextModel may have a projection that is unused."""
    for name in options.names("architectures", [architecture]):
        if name not in (architecture, PROJECTED):
            what = OTHERS.get(name, "which is not supported")
            hint = "use a relative of Stable Diffusion 1, 2 or XL"
            raise CheckpointError(f"{options.file}: expected a {architecture}, got {shortened(name)}, {what}; {hint}")


def _positive(options: JsonOptions, name: str, default: int) -> int:
    value = options.whole(name, default)
    if value < 1:
        raise options.wrong(name, "a positive number", value)
    return value


def _activation(options: JsonOptions) -> Literal["quick_gelu", "gelu"]:
    name = options.value("hidden_act", "quick_gelu")
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise options.wrong("hidden_act", " or ".join(map(repr, ACTIVATIONS)), name, "no other activation is supported")
    return ACTIVATIONS[name]
