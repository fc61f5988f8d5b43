"""The whole way from prompt to picture against diffusers and transformers with the same weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tokenizers
import torch
from diffusers.image_processor import VaeImageProcessor
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor, nn
from transformers.models.bert import configuration_bert, modeling_bert

from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.checkpoint import Model, untrained_model
from mobile_diffusion.config import (
    BertConfig,
    ClipTextConfig,
    ModelConfig,
    ScheduleConfig,
    UNetConfig,
    UNetLevel,
)
from mobile_diffusion.drawing import DrawSettings, draw, image_to_uint8
from mobile_diffusion.errors import ConfigError, MobileDiffusionError, PromptError
from mobile_diffusion.guidance import check_guidance
from mobile_diffusion.noise import MAX_SEED, gaussian
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.tokenization.tokenizer import WordPieceTokenizer

PROMPT, SEED, GUIDANCE = "a red apple", 7, 3.0
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "apple", "green"]
BERT = BertConfig(vocabulary=8, width=16, layers=2, heads=2, intermediate=32, positions=8, max_tokens=8)
CLIP = ClipTextConfig(vocabulary=8, width=16, layers=1, heads=2, intermediate=32, positions=8, max_tokens=8)


def word_pieces() -> WordPieceTokenizer:
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return WordPieceTokenizer(tokenizer.to_str(), max_tokens=8)


def tiny_model(text: BertConfig | ClipTextConfig = BERT, prediction: str = "v") -> Model:
    """Random weights, with cross-attention strong enough that the text changes the picture."""
    config = ModelConfig(
        name="tiny",
        licence="MIT",
        height=32,
        width=32,
        unet=UNetConfig(
            down=(UNetLevel(16, 1, 1), UNetLevel(32, 1, 0)),
            mid=UNetLevel(32, 2, 1),
            up=(UNetLevel(32, 2, 0), UNetLevel(16, 2, 2)),
            context_width=16,
            heads=2,
            groups=8,
        ),
        autoencoder=AutoencoderConfig(channels=(8, 16), resnets=1, groups=4, scaling_factor=0.6),
        text=text,
        schedule=ScheduleConfig(prediction=prediction, guidance=GUIDANCE),
    )
    torch.manual_seed(3)
    model = untrained_model(config, word_pieces())
    with torch.no_grad():
        for name, parameter in model.unet.named_parameters():
            if "attn2" in name:
                parameter.mul_(4)
    return model


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model()


@pytest.fixture(scope="module")
def pipeline(model: Model) -> Pipeline:
    return Pipeline.from_model(model)


class Reference:
    """The same model, made of diffusers' and transformers' parts."""

    def __init__(self, model: Model) -> None:
        config = model.config
        self.tokenizer = model.tokenizer
        self.unet = with_weights(model.unet, unet_of_diffusers(config))
        self.autoencoder = with_weights(model.autoencoder, autoencoder_of_diffusers(config))
        self.text = with_weights(model.text_encoder, bert_of_transformers())
        self.scheduler: Any = DDIMScheduler(
            1000,
            beta_start=config.schedule.beta_start,
            beta_end=config.schedule.beta_end,
            beta_schedule=config.schedule.beta_schedule,
            prediction_type={"v": "v_prediction", "epsilon": "epsilon"}[config.schedule.prediction],
            timestep_spacing="trailing",
            clip_sample=False,
        )

    def context(self, prompt: str) -> Tensor:
        tokens = self.tokenizer.encode(prompt)
        ids, mask = torch.tensor(tokens.ids[None]), torch.tensor(tokens.mask[None])
        hidden: Tensor = self.text(ids, mask).last_hidden_state
        return hidden * mask[:, :, None]

    @torch.no_grad()
    def trajectory(self, prompt: str, steps: int) -> list[Tensor]:
        """Latents after each step, with two separate evaluations of the U-Net."""
        self.scheduler.set_timesteps(steps)
        latents = torch.tensor(gaussian(SEED, (1, 4, 16, 16)))
        trajectory = []
        for t in self.scheduler.timesteps:
            null, conditional = (self.unet(latents, t, self.context(text)).sample for text in ("", prompt))
            guided = null + GUIDANCE * (conditional - null)
            latents = self.scheduler.step(guided, t, latents).prev_sample
            trajectory.append(latents)
        return trajectory

    @torch.no_grad()
    def picture(self, latents: Tensor) -> Tensor:
        image: Tensor = self.autoencoder.decode(latents / self.autoencoder.config.scaling_factor).sample
        return (image / 2 + 0.5).clamp(0, 1)


def with_weights(ours: nn.Module, theirs: Any) -> Any:
    theirs.load_state_dict(ours.state_dict())
    return theirs.eval()


def unet_of_diffusers(config: ModelConfig) -> Any:
    return UNet2DConditionModel(
        sample_size=16,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        cross_attention_dim=config.unet.context_width,
        attention_head_dim=config.unet.heads,  # diffusers' name for the number of heads
        norm_num_groups=config.unet.groups,
    )


def autoencoder_of_diffusers(config: ModelConfig) -> Any:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=config.autoencoder.channels,
        layers_per_block=config.autoencoder.resnets,
        norm_num_groups=config.autoencoder.groups,
        scaling_factor=config.autoencoder.scaling_factor,
    )


def bert_of_transformers() -> Any:
    config = configuration_bert.BertConfig(
        vocab_size=BERT.vocabulary,
        hidden_size=BERT.width,
        num_hidden_layers=BERT.layers,
        num_attention_heads=BERT.heads,
        intermediate_size=BERT.intermediate,
        max_position_embeddings=BERT.positions,
    )
    return modeling_bert.BertModel(config, add_pooling_layer=False)


def test_the_tiny_model_is_sensitive_to_its_text(pipeline: Pipeline) -> None:
    """Otherwise the comparisons below would not see a swapped or dropped condition."""
    first, second = (final_latents(pipeline, prompt) for prompt in (PROMPT, "green"))
    assert np.abs(first - second).max() > 0.01


def final_latents(pipeline: Pipeline, prompt: str) -> np.ndarray:
    seen: list[np.ndarray] = []
    pipeline.generate(prompt, SEED, on_step=lambda step, latents: seen.append(latents))
    return seen[-1]


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
@pytest.mark.parametrize("steps", [8, 20])
def test_trajectory_and_picture_equal_diffusers(prediction: str, steps: int) -> None:
    model = tiny_model(prediction=prediction)
    reference = Reference(model)
    expected = reference.trajectory(PROMPT, steps)
    seen: list[np.ndarray] = []
    picture = Pipeline(model).generate(
        PROMPT, SEED, GUIDANCE, steps, on_step=lambda step, latents: seen.append(latents)
    )
    errors = [float(np.abs(ours - theirs.numpy()).max()) for ours, theirs in zip(seen, expected, strict=True)]
    # 6e-5 for v; with epsilon an untrained network leaves the noise in, and the latents grow to 90.
    assert max(errors) < 1e-5 * max(float(latents.abs().max()) for latents in expected), errors
    pixels = image_to_uint8(reference.picture(expected[-1]).numpy())
    assert picture.shape == (32, 32, 3) and picture.dtype == np.uint8
    assert np.abs(picture.astype(int) - pixels.astype(int)).max() <= 1
    assert 20 < pixels.mean() < 235 and pixels.std() > 5


def test_context_equals_transformers_with_zeroed_padding(model: Model, pipeline: Pipeline) -> None:
    context = pipeline.encode(PROMPT)
    with torch.no_grad():
        torch.testing.assert_close(context, Reference(model).context(PROMPT), atol=1e-5, rtol=0)
    assert context.shape == (1, 8, 16)
    assert bool((context[:, 5:] == 0).all()) and bool((context[:, :5] != 0).any(-1).all())


def test_clip_context_is_not_masked() -> None:
    pipeline = Pipeline(tiny_model(CLIP))
    assert bool((pipeline.encode(PROMPT) != 0).any(-1).all())
    assert pipeline.generate(PROMPT, steps=1).shape == (32, 32, 3)


def test_the_same_seed_gives_the_same_picture(pipeline: Pipeline) -> None:
    assert np.array_equal(pipeline.generate(PROMPT, 1), pipeline.generate(PROMPT, 1))
    assert not np.array_equal(pipeline.generate(PROMPT, 1), pipeline.generate(PROMPT, 2))


def test_guidance_defaults_to_the_model(pipeline: Pipeline) -> None:
    assert np.array_equal(pipeline.generate(PROMPT, 1), pipeline.generate(PROMPT, 1, GUIDANCE))
    assert not np.array_equal(pipeline.generate(PROMPT, 1), pipeline.generate(PROMPT, 1, 1.0))


@pytest.mark.parametrize("scale", [-1.0, 0.0, 0.5, 1.0])
def test_a_scale_of_one_or_less_is_no_guidance(scale: float, model: Model, pipeline: Pipeline) -> None:
    """In one evaluation, as `generate` draws, and in the two of an exported program."""
    unguided = replaced(model, guidance=0.0)
    expected = Pipeline(unguided).generate(PROMPT, 1)
    assert np.array_equal(pipeline.generate(PROMPT, 1, scale), expected)
    two = draw(pipeline.run, model.tokenizer, pipeline.settings, PROMPT, 1, scale)
    assert np.abs(two.astype(int) - expected).max() <= 1
    assert np.abs(pipeline.generate("green", 1, scale).astype(int) - expected).max() > 1


def test_the_scale_decides_how_often_the_reference_evaluates(
    model: Model, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[int] = []
    predict = model.unet.predict

    def counted(latents: Tensor, *rest: Tensor) -> Tensor:
        batches.append(len(latents))
        return predict(latents, *rest)

    monkeypatch.setattr(model.unet, "predict", counted)
    unguided = Pipeline(replaced(model, guidance=1.0))
    assert unguided.settings.guidance_kind == "none"
    for drawn, scale in ((pipeline, 1.0), (pipeline, 1.5), (unguided, None), (unguided, 1.5)):
        drawn.generate(PROMPT, 1, scale, 1)
    assert batches == [1, 2, 1, 2]


def replaced(model: Model, **schedule: Any) -> Model:
    config = dataclasses.replace(model.config, schedule=dataclasses.replace(model.config.schedule, **schedule))
    return dataclasses.replace(model, config=config)


def test_the_empty_prompt_is_the_null_condition(pipeline: Pipeline) -> None:
    """Both halves of the guidance are then equal, so its scale does not matter."""
    low, high = (pipeline.generate("", 1, scale).astype(int) for scale in (0.0, 9.0))
    assert np.abs(low - high).max() <= 1


class Recorder:
    """A runner that computes nothing and remembers what an app would have sent."""

    def __init__(self, latents: float = 0.0, image: float = 0.5) -> None:
        self.calls: list[tuple[str, dict[str, np.ndarray]]] = []
        self.latents, self.image = latents, image

    def __call__(self, stage: str, /, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        self.calls.append((stage, arrays))
        if stage == "encode_text":
            return {"context": np.full((1, 8, 16), float(arrays["mask"].sum()), dtype=np.float32)}
        if stage == "denoise":
            return {"latents": arrays["latents"] + np.float32(self.latents)}
        return {"image": np.full((1, 3, 4, 6), self.image, dtype=np.float32)}


SETTINGS = DrawSettings(
    latent_shape=(1, 4, 16, 16),
    image_shape=(1, 3, 32, 32),
    guidance=5.0,
    guidance_kind="cfg",
    uses_mask=True,
    memory=0,
    stochastic=False,
    alphas=(0.1, 0.5, 0.9),
    sigmas=(0.9, 0.8, 0.4),
)


def test_draw_calls_the_stages_as_an_app_does() -> None:
    run, seen = Recorder(latents=1.0), []
    picture = draw(run, word_pieces(), SETTINGS, PROMPT, 9, on_step=lambda i, x: seen.append((i, x)))
    names = [name for name, _ in run.calls]
    assert names == ["encode_text", "encode_text", "denoise", "denoise", "denoise", "decode_image"]
    text, denoise, decode = run.calls[0][1], run.calls[3][1], run.calls[5][1]
    assert {k: (v.dtype.name, v.shape) for k, v in text.items()} == {
        "tokens": ("int32", (1, 8)),
        "mask": ("int32", (1, 8)),
    }
    assert {k: (v.dtype.name, v.shape) for k, v in denoise.items()} == {
        "latents": ("float32", (1, 4, 16, 16)),
        "step": ("int32", (1,)),
        "context": ("float32", (1, 8, 16)),
        "null_context": ("float32", (1, 8, 16)),
        "guidance": ("float32", (1,)),
    }
    assert (denoise["step"][0], denoise["guidance"][0]) == (1, 5.0)
    assert (denoise["context"].max(), denoise["null_context"].max()) == (5.0, 2.0)  # tokens, of 5 and of 2
    assert np.array_equal(run.calls[2][1]["latents"], gaussian(9, (1, 4, 16, 16)))
    assert np.array_equal(decode["latents"], seen[-1][1]) and [i for i, _ in seen] == [0, 1, 2]
    assert picture.shape == (4, 6, 3)


@pytest.mark.parametrize("guidance", [30.1, float("nan"), float("inf"), float("-inf"), "3", True])
def test_guidance_out_of_range_is_refused(guidance: Any) -> None:
    run = Recorder()
    with pytest.raises(PromptError, match="guidance: expected a number up to 30, got"):
        draw(run, word_pieces(), SETTINGS, PROMPT, guidance=guidance)
    assert not run.calls


def test_guidance_limits_and_numpy_numbers_are_accepted() -> None:
    assert [check_guidance(value) for value in (-1, 0, 30.0, np.float32(7.5))] == [-1.0, 0.0, 30.0, 7.5]  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1])
def test_seeds_out_of_range_are_refused_before_any_work(seed: int) -> None:
    run = Recorder()
    with pytest.raises(PromptError, match="seed"):
        draw(run, word_pieces(), SETTINGS, PROMPT, seed)
    assert not run.calls


@pytest.mark.parametrize("steps", [0, -3, 1001])
def test_step_counts_out_of_range_are_refused(pipeline: Pipeline, steps: int) -> None:
    with pytest.raises(ConfigError, match=r"steps: expected an integer from 1 to 1000, got "):
        pipeline.generate(PROMPT, steps=steps)


@pytest.mark.parametrize("step", [-1, 8])
def test_a_step_outside_the_table_is_refused(pipeline: Pipeline, step: int) -> None:
    latents, context = torch.zeros(1, 4, 16, 16), torch.zeros(1, 8, 16)
    with pytest.raises(ConfigError, match=r"step: expected an integer from 0 to 7"):
        pipeline.denoise(latents, step, context, context, 1.0)


def test_an_unknown_stage_is_refused_with_the_choices(pipeline: Pipeline) -> None:
    with pytest.raises(ConfigError, match="encode_text, denoise, decode_image, encode_image, encode_hint, got 'paint'"):
        pipeline.run("paint")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_not_drawn(bad: float) -> None:
    with pytest.raises(MobileDiffusionError, match="latents: expected finite values, got 1024"):
        draw(Recorder(latents=bad), word_pieces(), SETTINGS, PROMPT)
    with pytest.raises(MobileDiffusionError, match="image: expected finite values, got 72"):
        draw(Recorder(image=bad), word_pieces(), SETTINGS, PROMPT)


def test_image_to_uint8_rounds_and_clips() -> None:
    image = np.array([-0.1, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 1.1], dtype=np.float32).reshape(1, 3, 1, 2)
    pixels = image_to_uint8(image)
    assert pixels.shape == (1, 2, 3) and pixels.flags["C_CONTIGUOUS"]
    assert pixels.transpose(2, 0, 1).reshape(-1).tolist() == [0, 0, 0, 1, 255, 255]


def test_pixels_are_rounded_as_in_diffusers() -> None:
    """Ties and values outside included; diffusers' decoder returns -1 to 1."""
    halves = np.linspace(-0.1, 1.1, 6000, dtype=np.float32)
    image = np.concatenate([halves, np.arange(0.5, 256, dtype=np.float32) / 255, np.zeros(2, np.float32)])
    image = image[: image.size // 6 * 6].reshape(1, 3, 2, -1)
    (theirs,) = VaeImageProcessor().postprocess(torch.from_numpy(image) * 2 - 1, output_type="pil")
    ours = image_to_uint8((torch.from_numpy(image * 2 - 1) / 2 + 0.5).clamp(0, 1).numpy())
    assert np.array_equal(ours, np.asarray(theirs))


def test_drawing_leaves_the_model_as_it_was(model: Model, pipeline: Pipeline) -> None:
    before = {name: tensor.clone() for name, tensor in model.unet.state_dict().items()}
    pipeline.generate(PROMPT)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.unet.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.unet.parameters())
