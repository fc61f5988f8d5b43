"""Folders that real tools write or wrote, with notes, contradictions and gaps: drawn as diffusers draws them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModelWithProjection

from mobile_diffusion.checkpoint import open_source
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.formats.json_options import EMA_NOTES, UPCAST_SOFTMAX
from mobile_diffusion.formats.open_options import OpenOptions
from tests.mobile_diffusion.formats.conftest import Publish, copy_tree, edit_json, replace
from tests.mobile_diffusion.formats.drawings import PROMPT, assert_equal, open_theirs, our_drawing, their_drawing

STEPS = 3
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
UNET, INDEX = "unet/config.json", "model_index.json"
TEXT, TOKENIZER = "text_encoder/config.json", "tokenizer/tokenizer_config.json"
SCHEDULER = "scheduler/scheduler_config.json"


def set_scheduler(folder: Path, kind: str, **values: Any) -> None:
    """Give a folder a scheduler, in its file and in its index."""
    replace(folder / SCHEDULER, json.dumps({"_class_name": kind, **BETAS, **values}))
    edit_json(folder / INDEX, scheduler=["diffusers", kind])


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        (UNET, dict.fromkeys(EMA_NOTES, 1.0)),
        (UNET, {"_name_or_path": "someone/else"}),
        ("vae/config.json", dict.fromkeys(EMA_NOTES, 1.0)),
        ("vae/config.json", {UPCAST_SOFTMAX: True}),
        (UNET, {UPCAST_SOFTMAX: True}),
        (SCHEDULER, {"tensor_format": "pt", "timestep_values": None}),
        (SCHEDULER, {"predict_epsilon": True, "steps_offset": 0}),
        (SCHEDULER, {"_class_name": "DDIMScheduler", "clip_sample": False}),
        (INDEX, {"scheduler": ["diffusers", "DDIMScheduler"]}),
        (INDEX, {"scheduler": ["diffusers", "EulerDiscreteScheduler"]}),
        (TEXT, {"gradient_checkpointing": False, "attn_implementation": "sdpa", "_attn_implementation_autoset": True}),
        (TOKENIZER, {"extra_special_tokens": {}}),
        (TEXT, {"architectures": ["CLIPTextModelWithProjection"]}),
    ],
)
def test_notes_and_contradictions(file: str, changes: dict[str, Any], folder: Path) -> None:
    edit_json(folder / file, **changes)
    assert_equal(our_drawing(folder, STEPS), their_drawing(open_theirs(folder), STEPS))


def test_a_text_encoder_saved_with_its_projection(folder: Path) -> None:
    """A CLIPTextModel does not load the projection; an index that names the other class cannot be drawn."""
    encoder = CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder")
    shutil.rmtree(folder / "text_encoder")
    encoder.save_pretrained(folder / "text_encoder")
    assert "text_projection.weight" in load_file(folder / "text_encoder" / "model.safetensors")
    assert_equal(our_drawing(folder, STEPS), their_drawing(open_theirs(folder), STEPS))
    edit_json(folder / INDEX, text_encoder=["transformers", "CLIPTextModelWithProjection"])
    with pytest.raises(ValueError, match="not enough values to unpack"):
        their_drawing(open_theirs(folder), STEPS)
    with pytest.raises(CheckpointError, match="got CLIPTextModelWithProjection; diffusers cannot draw with it either"):
        open_source(folder)


@pytest.mark.parametrize("size", [None, ...], ids=["null", "absent"])
def test_a_folder_without_a_size_is_drawn_at_a_given_one(size: Any, folder: Path) -> None:
    edit_json(folder / UNET, sample_size=size)
    assert_equal(our_drawing(folder, STEPS), their_drawing(open_theirs(folder), STEPS))  # both are given 64 pixels
    with pytest.raises(TypeError, match="NoneType"):
        open_theirs(folder)(PROMPT, num_inference_steps=1)
    with pytest.raises(CheckpointError, match="'sample_size': expected the size of the latents.*such as --size 512"):
        open_source(folder)


@pytest.mark.parametrize("clips", [True, ..., False])
@pytest.mark.parametrize("kind", ["DDIMScheduler", "LCMScheduler"])
def test_the_pipeline_switches_clipping_off(kind: str, clips: Any, folder: Path) -> None:
    set_scheduler(folder, kind, **({} if clips is ... else {"clip_sample": clips}))
    assert_equal(our_drawing(folder, STEPS), their_drawing(open_theirs(folder), STEPS))


def test_the_notes_of_an_average_are_those_of_diffusers(folder: Path) -> None:
    from diffusers.training_utils import EMAModel

    unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet")
    state = EMAModel(unet.parameters(), model_cls=type(unet), model_config=unet.config).state_dict()
    assert set(EMA_NOTES) == state.keys() - {"shadow_params"}


@pytest.mark.parametrize("processor", ["AttnProcessor2_0", "AttnProcessor"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_softmax_in_float32_changes_nothing_in_diffusers(dtype: torch.dtype, processor: str, folder: Path) -> None:
    """The default processor does not read the argument, and PyTorch's softmax of half scores adds in float32."""
    from diffusers.models import attention_processor

    vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=dtype)
    attention = vae.decoder.mid_block.attentions[0]
    assert attention.upcast_softmax and type(attention.processor) is attention_processor.AttnProcessor2_0
    unet = diffusers.UNet2DConditionModel.load_config(folder / "unet")
    assert UPCAST_SOFTMAX not in vae.config and UPCAST_SOFTMAX not in unet
    attention.set_processor(getattr(attention_processor, processor)())
    features = 4 * torch.randn(1, attention.query_dim, 8, 8, generator=torch.Generator().manual_seed(1)).to(dtype)
    found = []
    for upcast in (True, False):
        attention.upcast_softmax = upcast
        with torch.inference_mode():
            found.append(attention(features))
    assert torch.equal(*found)


def test_unknown_notes_are_still_refused(folder: Path) -> None:
    edit_json(folder / SCHEDULER, beta_start_=1)
    with pytest.raises(CheckpointError, match="'beta_start_': expected no such option, got 1"):
        open_source(folder)


def test_a_network_of_2022_that_predicts_the_sample(folder: Path) -> None:
    """The reading of diffusers 0.3 to 0.10, whose newest word for it is prediction_type."""
    set_scheduler(folder, "DDIMScheduler", clip_sample=False, predict_epsilon=False)
    theirs = open_theirs(folder)
    theirs.scheduler = diffusers.DDIMScheduler.from_config(theirs.scheduler.config, prediction_type="sample")
    assert_equal(our_drawing(folder, STEPS), their_drawing(theirs, STEPS))


@pytest.mark.parametrize("prediction", ["v", "sample"])
def test_a_prediction_that_the_scheduler_does_not_state(prediction: str, folder: Path) -> None:
    set_scheduler(folder, "DDIMScheduler", clip_sample=False)
    name = {"v": "v_prediction"}.get(prediction, prediction)
    theirs = open_theirs(folder)
    theirs.scheduler = diffusers.DDIMScheduler.from_config(theirs.scheduler.config, prediction_type=name)
    assert_equal(our_drawing(folder, STEPS, prediction=prediction), their_drawing(theirs, STEPS))


def test_a_prediction_against_the_scheduler_is_refused(folder: Path) -> None:
    set_scheduler(folder, "DDIMScheduler", prediction_type="v_prediction")
    with pytest.raises(ConfigError, match=r"expected v, as .*scheduler_config\.json states, got epsilon; leave it"):
        open_source(folder, OpenOptions(prediction="epsilon"))
    assert open_source(folder, OpenOptions(prediction="v")).config.schedule.prediction == "v"
    with pytest.raises(ConfigError, match="expected one of epsilon, sample, v, flow, got 'x'"):
        open_source(folder, OpenOptions(prediction="x"))


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_variant_that_one_network_has(part: str, folder: Path) -> None:
    file = next((folder / part).glob("*.safetensors"))
    state = {name: tensor * 1.25 if tensor.ndim > 1 else tensor for name, tensor in load_file(file).items()}
    save_file(state, file.with_suffix(".fp16.safetensors"), metadata={"format": "pt"})
    ours = our_drawing(folder, STEPS, variant="fp16")
    assert_equal(ours, their_drawing(open_theirs(folder, variant="fp16"), STEPS))
    assert abs(ours[1] - our_drawing(folder, STEPS)[1]).max() > 1


@pytest.mark.parametrize("rows", [49408, 49920])
def test_an_embedding_beside_a_padded_table(rows: int, published: Publish, tmp_path: Path) -> None:
    folder, name = copy_tree(published("sd15"), tmp_path / "sd15"), "text_model.embeddings.token_embedding.weight"
    file = folder / "text_encoder" / "model.safetensors"
    state = load_file(file)
    state[name] = torch.cat([state[name], torch.ones(rows - 49408, state[name].shape[1])])
    file.unlink()
    save_file(state, file, metadata={"format": "pt"})
    edit_json(folder / TEXT, vocab_size=rows)
    learned = tmp_path / "learned_embeds.safetensors"
    save_file({"<toy>": torch.randn(48, generator=torch.Generator().manual_seed(1))}, learned)
    theirs, prompt = open_theirs(folder), "a <toy> on grass"
    theirs.load_textual_inversion(str(learned))
    drawn = our_drawing(folder, STEPS, prompt, embeddings=(learned,))
    assert_equal(drawn, their_drawing(theirs, STEPS, prompt))
