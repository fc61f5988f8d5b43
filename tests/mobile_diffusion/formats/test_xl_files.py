"""Files of SDXL: single files, LoRA and textual inversions for two encoders, and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers.loaders import single_file_utils as ldm
from diffusers.utils import convert_state_dict_to_diffusers
from safetensors.torch import load_file, save_file
from torch import Tensor

from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.checkpoint import open_checkpoint, open_source
from mobile_diffusion.config import ClipPairConfig, ClipTextConfig
from mobile_diffusion.errors import CheckpointError, MobileDiffusionError
from mobile_diffusion.formats.compvis_names import autoencoder_names, open_clip_names, unet_names
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.presets import preset
from tests.mobile_diffusion.formats.conftest import Publish, copy_tree, edit_json
from tests.mobile_diffusion.formats.drawings import assert_equal
from tests.mobile_diffusion.formats.xl_drawings import PROMPT, opened, ours, their_pipeline, theirs

STEPS = 2
SMALLEST = "koala-700m"
CLIP, OPEN_CLIP = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."
State = dict[str, Tensor]


@pytest.fixture
def koala(published: Publish, tmp_path: Path) -> Path:
    """A folder that a test may change: the smallest architecture."""
    return copy_tree(published(SMALLEST), tmp_path / SMALLEST)


def write_single_file(folder: Path, file: Path) -> Path:
    """The weights of a diffusers folder in the names of generative-models.

    Heads of 64 channels cannot be narrow, so the U-Net's heads in the folder must be those that the file implies.
    """
    model = open_source(folder)
    assert isinstance(model.config.text, ClipPairConfig) and isinstance(model.config.autoencoder, AutoencoderConfig)
    tables = {
        "unet": ("model.diffusion_model.", unet_names(model.config.unet)),
        "vae": ("first_stage_model.", autoencoder_names(model.config.autoencoder)),
    }
    state: State = {}
    for part, (prefix, names) in tables.items():
        for name, tensor in load_file(folder / part / "diffusion_pytorch_model.safetensors").items():
            convolution = part == "vae" and "attentions" in name and tensor.ndim == 2
            state[f"{prefix}{names.theirs(name)}"] = tensor[:, :, None, None] if convolution else tensor
    first, second = (load_file(folder / name / "model.safetensors") for name in ("text_encoder", "text_encoder_2"))
    state |= {CLIP + name: tensor for name, tensor in first.items()}
    state |= {OPEN_CLIP + name: tensor for name, tensor in open_clip_state(second, model.config.text.second).items()}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, file)
    return file


def open_clip_state(state: State, config: ClipTextConfig) -> State:
    """OpenCLIP's names: fused attention, and the projection as the transpose of transformers'."""
    names, written = open_clip_names(config), {}
    for name, tensor in state.items():
        if "q_proj" in name:
            tensor = torch.cat([state[name.replace("q_proj", row)] for row in ("q_proj", "k_proj", "v_proj")])
            name = name.replace("q_proj", "in_proj")
        if "k_proj" not in name and "v_proj" not in name:
            written[names.theirs(name) or ""] = tensor.T if name == "text_projection.weight" else tensor
    return written | {"logit_scale": torch.ones(())}


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose heads all have 64 channels, as those of single files."""
    from benchmarks.checkpoints import random_weights

    unet = random_weights.KOALA_700M | {
        "block_out_channels": [64, 64, 128],
        "attention_head_dim": [1, 1, 2],
        "cross_attention_dim": 128,
        "projection_class_embeddings_input_dim": 64 + 6 * 256,
        "norm_num_groups": 32,
        "sample_size": 8,
    }
    narrow: dict[str, Any] = {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_attention_heads": 1,
        "projection_dim": 64,
    }
    architecture = random_weights.Architecture(
        unet,
        {**random_weights.CLIP_L, **narrow, "num_hidden_layers": 3},
        {**random_weights.KL_XL, "block_out_channels": [32, 32, 32, 64]},
        ("EulerDiscreteScheduler", random_weights.EULER),
        "StableDiffusionXLPipeline",
        text_2={**random_weights.OPENCLIP_G, **narrow, "num_hidden_layers": 4},
    )
    return random_weights.write_architecture(architecture, tmp_path_factory.mktemp("wide") / "folder")


def converted_by_diffusers(file: Path, folder: Path) -> Any:
    """diffusers' pipeline with the weights of a single file, each network's by diffusers' own converter.

    Its `from_single_file` leaves text encoders of transformers 5 empty.
    """
    pipeline, state = their_pipeline(folder), load_file(file)
    clip = ldm.convert_ldm_clip_checkpoint(dict(state))
    found = {
        "unet": ldm.convert_ldm_unet_checkpoint(dict(state), dict(pipeline.unet.config)),
        "vae": ldm.convert_ldm_vae_checkpoint(dict(state), dict(pipeline.vae.config)),
        "text_encoder": {name.removeprefix("text_model."): tensor for name, tensor in clip.items()},
        "text_encoder_2": ldm.convert_open_clip_checkpoint(pipeline.text_encoder_2, dict(state), OPEN_CLIP),
    }
    for part, weights in found.items():
        network = getattr(pipeline, part)
        for parameter in network.parameters():
            torch.nn.init.zeros_(parameter)
        network.load_state_dict(weights)
    return pipeline


def test_a_single_file_draws_as_diffusers_draws_from_it(wide: Path, tmp_path: Path) -> None:
    file = write_single_file(wide, tmp_path / "xl.safetensors")
    pipeline = converted_by_diffusers(file, wide)
    model = opened(file, STEPS, height=64, width=64)
    assert model.config.schedule.guidance == 5.0
    assert_equal(ours(model, 5.0, "blurred!!"), theirs(pipeline, 5.0, "blurred!!", num_inference_steps=STEPS))


@pytest.mark.parametrize("name", ["sdxl", "ssd-1b", "segmind-vega", "koala-1b", "koala-700m"])
def test_full_size_files_have_the_presets_configuration(name: str, tmp_path: Path) -> None:
    config, file = preset(name), tmp_path / f"{name}.safetensors"
    write_header(file, name)
    source = open_source(file)
    assert source.config.unet == config.unet
    assert (source.config.autoencoder, source.config.text) == (config.autoencoder, config.text)
    assert (source.config.height, source.config.width) == (1024, 1024)
    assert source.config.schedule == config.schedule


def write_header(file: Path, name: str, inputs: int = 4) -> None:
    """A safetensors file of a preset's shapes in float16 that takes no room on disk; `inputs` channels of its U-Net."""
    from mobile_diffusion.formats.checkpoint_files import builders

    config, shapes = preset(name), dict[str, tuple[int, ...]]()
    assert isinstance(config.text, ClipPairConfig) and isinstance(config.autoencoder, AutoencoderConfig)
    with torch.device("meta"):
        parts = {part: build().state_dict() for part, build in builders(config).items()}
    for ours_name, tensor in parts["unet"].items():
        shape = (320, inputs, 3, 3) if ours_name == "conv_in.weight" else tuple(tensor.shape)
        shapes[f"model.diffusion_model.{unet_names(config.unet).theirs(ours_name)}"] = shape
    for ours_name, tensor in parts["autoencoder"].items():
        shapes[f"first_stage_model.{autoencoder_names(config.autoencoder).theirs(ours_name)}"] = tuple(tensor.shape)
    text = parts["text_encoder"]
    for ours_name, tensor in text.items():
        if ours_name.startswith("text_encoder."):
            shapes[CLIP + ours_name.removeprefix("text_encoder.")] = tuple(tensor.shape)
    second = {key.removeprefix("text_encoder_2."): value for key, value in text.items() if "encoder_2." in key}
    for their_name, tensor in open_clip_state(second, config.text.second).items():
        shapes[OPEN_CLIP + their_name] = tuple(tensor.shape)
    header, end = {}, 0
    for their_name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[their_name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    content = json.dumps(header).encode()
    with file.open("wb") as stream:
        stream.write(len(content).to_bytes(8, "little") + content)
        stream.truncate(8 + len(content) + end)


def kohya(folder: Path) -> State:
    """A LoRA of kohya's scripts for SDXL: the U-Net in generative-models' names, and both text encoders."""
    torch.manual_seed(5)
    layers = {
        "lora_te1_text_model_encoder_layers_1_self_attn_q_proj": (48, 48),
        "lora_te2_text_model_encoder_layers_30_mlp_fc1": (80, 320),
        "lora_unet_input_blocks_3_1_transformer_blocks_1_attn2_to_k": (128, 40),
        "lora_unet_output_blocks_0_1_transformer_blocks_4_ff_net_2": (320, 80),
    }
    state: State = {}
    for name, (inputs, outputs) in layers.items():
        state[f"{name}.lora_down.weight"] = torch.randn(4, inputs)
        state[f"{name}.lora_up.weight"] = torch.randn(outputs, 4)
        state[f"{name}.alpha"] = torch.tensor(2.0)
    return state


def test_a_lora_changes_both_text_encoders(published: Publish, tmp_path: Path) -> None:
    folder, file = published(SMALLEST), tmp_path / "style.safetensors"
    state, pipeline = kohya(folder), their_pipeline(folder)
    save_file({name: tensor for name, tensor in state.items() if "unet" in name}, file)
    pipeline.load_lora_weights(str(tmp_path), weight_name=file.name, local_files_only=True)
    pipeline.fuse_lora(lora_scale=0.5)
    paths = {"lora_te1": "text_encoder.encoder.layers.1.self_attn.q_proj"}
    paths |= {"lora_te2": "text_encoder_2.text_model.encoder.layers.30.mlp.fc1"}
    for prefix, path in paths.items():  # diffusers 0.42 finds no text encoder of transformers 5 in kohya's names
        part, _, module = path.partition(".")
        down, up = (next(state[n] for n in state if prefix in n and half in n) for half in ("lora_down", "lora_up"))
        weight = getattr(pipeline, part).get_submodule(module).weight
        with torch.no_grad():
            weight += 0.5 * (2.0 / 4) * up @ down
    save_file(state, file)
    plain, drawn = opened(folder, STEPS), theirs(pipeline, 5.0, "blurred", num_inference_steps=STEPS)
    assert abs(ours(plain, 5.0, "blurred")[0] - drawn[0]).max() > 1e-2 * abs(drawn[0]).max()
    assert_equal(ours(opened(folder, STEPS, loras=((file, 0.5),)), 5.0, "blurred"), drawn)


def test_a_lora_that_diffusers_wrote(published: Publish, tmp_path: Path) -> None:
    """Its metadata has an alpha per text encoder."""
    from peft import LoraConfig, get_peft_model_state_dict

    torch.manual_seed(6)
    folder, states, metadata = published(SMALLEST), {}, {}
    pipeline = their_pipeline(folder)
    for number, part in enumerate(("unet", "text_encoder", "text_encoder_2")):
        targets = ["to_q"] if part == "unet" else ["q_proj"]
        config = LoraConfig(r=2, lora_alpha=2 + number, target_modules=targets, init_lora_weights=False)
        network = getattr(pipeline, part)
        network.add_adapter(config)
        states[part] = convert_state_dict_to_diffusers(get_peft_model_state_dict(network))
        metadata[part] = config.to_dict()
    diffusers.StableDiffusionXLPipeline.save_lora_weights(
        str(tmp_path),
        unet_lora_layers=states["unet"],
        text_encoder_lora_layers=states["text_encoder"],
        text_encoder_2_lora_layers=states["text_encoder_2"],
        **{f"{part}_lora_adapter_metadata": values for part, values in metadata.items()},
    )
    drawn = theirs(pipeline, 5.0, "blurred", num_inference_steps=STEPS)
    assert_equal(ours(opened(folder, STEPS, loras=((tmp_path, 1.0),)), 5.0, "blurred"), drawn)


def test_a_textual_inversion_for_both_encoders(published: Publish, tmp_path: Path) -> None:
    torch.manual_seed(7)
    file, folder = tmp_path / "xqtoy.safetensors", published(SMALLEST)
    learned = {"clip_l": torch.randn(2, 48), "clip_g": torch.randn(2, 80)}
    save_file(learned, file)
    pipeline = their_pipeline(folder)
    for vectors, suffix in ((learned["clip_l"], ""), (learned["clip_g"], "_2")):
        encoder, tokenizer = (getattr(pipeline, name + suffix) for name in ("text_encoder", "tokenizer"))
        pipeline.load_textual_inversion(vectors, token="xqtoy", text_encoder=encoder, tokenizer=tokenizer)
    model = opened(folder, STEPS, embeddings=(file,))
    for prompt in ("a xqtoy on a table", "two toys"):
        expected, _, pooled, _ = pipeline.encode_prompt(prompt, device="cpu", do_classifier_free_guidance=False)
        found = model.text_encoder.conditions(tokens=torch.from_numpy(model.tokenizer.encode(prompt).ids)[None])
        assert (found["context"] - expected).abs().max() <= 1e-4
        assert found["pooled"].shape == pooled.shape
    assert {49408, 49409} <= set(model.tokenizer.encode("a xqtoy").ids[1].tolist())


def test_the_pooled_text_is_that_of_the_end_token(published: Publish, tmp_path: Path) -> None:
    """transformers takes the largest id for the end token, which a learned token has; we do not."""
    file = tmp_path / "xqtoy.safetensors"
    save_file({"clip_l": torch.randn(48), "clip_g": torch.randn(80)}, file)
    model = opened(published(SMALLEST), STEPS, embeddings=(file,))
    ids = torch.from_numpy(model.tokenizer.encode("a xqtoy on a table").ids)[None]
    encoder = model.text_encoder.text_encoder_2
    last = encoder.text_model(ids[:, 1])
    position = ids[0, 1].tolist().index(49407)
    expected = last[0, position] @ encoder.text_projection.weight.T
    assert (model.text_encoder.conditions(tokens=ids)["pooled"][0] - expected).abs().max() <= 1e-5


def refused(action: Any, *words: str) -> None:
    """Opening raises one line with all of the words."""
    with pytest.raises(MobileDiffusionError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


@pytest.mark.parametrize(
    ("file", "changes", "words"),
    [
        ("model_index.json", {"requires_aesthetics_score": True}, ("SDXL's refiner",)),
        ("model_index.json", {"text_encoder": [None, None]}, ("text_encoder: expected CLIPTextModel",)),
        ("model_index.json", {"text_encoder_2": ...}, ("text_encoder_2: expected CLIPTextModelWithProjection",)),
        ("model_index.json", {"force_zeros_for_empty_prompt": "yes"}, ("expected true or false",)),
        ("model_index.json", {"_class_name": "StableDiffusionPipeline"}, ("expected context_width 48",)),
        ("unet/config.json", {"projection_class_embeddings_input_dim": 2560}, ("SDXL's refiner",)),
        ("unet/config.json", {"in_channels": 9}, ("4 channels in with a pooled text",)),
        ("unet/config.json", {"transformer_layers_per_block": [1, [2, 2], 5]}, ("reverse_transformer_layers",)),
        ("unet/config.json", {"transformer_layers_per_block": [1, 0, 5]}, ("1 positive numbers for a level",)),
        ("unet/config.json", {"transformer_layers_per_block": [1, 2]}, ("a number, or 3 numbers",)),
        ("text_encoder_2/config.json", {"projection_dim": 64}, ("pooled_width",)),
        ("text_encoder_2/config.json", {"eos_token_id": 7}, ("expected the end token 7",)),
        ("text_encoder_2/config.json", {"architectures": ["CLIPTextModel"]}, ("CLIPTextModelWithProjection",)),
        ("tokenizer_2/tokenizer_config.json", {"model_max_length": 40}, ("max_tokens 77",)),
    ],
)
def test_folders_that_do_not_fit(file: str, changes: dict[str, Any], words: tuple[str, ...], koala: Path) -> None:
    edit_json(koala / file, **changes)
    refused(lambda: open_source(koala), *words)


def test_a_missing_encoder_is_named(koala: Path) -> None:
    (koala / "text_encoder_2" / "model.safetensors").unlink()
    refused(lambda: open_source(koala), "text_encoder_2")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([OPEN_CLIP], ("without conditioner.embedders.0.transformer",)),
        (["conditioner.embedders.0.model."], ("SDXL's refiner",)),
        ([CLIP], ("without conditioner.embedders.1.model",)),
        ([], ("without text encoder",)),
    ],
)
def test_single_files_with_other_encoders(names: list[str], words: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "xl.safetensors"
    unet = ["model.diffusion_model.label_emb.0.0.weight", "model.diffusion_model.input_blocks.0.0.weight"]
    everything = [*unet, "first_stage_model.decoder.conv_in.weight", *(f"{name}x" for name in names)]
    save_file({name: torch.zeros(2) for name in everything}, file)
    refused(lambda: open_source(file), *words)


def test_encoders_of_sdxl_without_its_unet(tmp_path: Path) -> None:
    names = [f"{CLIP}x", f"{OPEN_CLIP}x", "model.diffusion_model.x", "first_stage_model.x"]
    file = tmp_path / "xl.safetensors"
    save_file({name: torch.zeros(2) for name in names}, file)
    refused(lambda: open_source(file), "expected SDXL's U-Net")


def test_files_for_another_family(published: Publish, tmp_path: Path) -> None:
    sd1, xl = published("sd15"), published(SMALLEST)
    lora, old = tmp_path / "xl.safetensors", tmp_path / "sd1.safetensors"
    save_file(kohya(xl), lora)
    name = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
    save_file({f"{name}.lora_down.weight": torch.ones(2, 20), f"{name}.lora_up.weight": torch.ones(20, 2)}, old)
    refused(lambda: open_source(sd1, OpenOptions(loras=((lora, 1.0),))), "expected a LoRA for", "one for SDXL")
    refused(lambda: open_source(xl, OpenOptions(loras=((old, 1.0),))), "1 modules that it lacks")
    pair, single = tmp_path / "pair.safetensors", tmp_path / "single.safetensors"
    save_file({"clip_l": torch.ones(48), "clip_g": torch.ones(80)}, pair)
    save_file({"<toy>": torch.ones(48)}, single)
    refused(lambda: open_source(sd1, OpenOptions(embeddings=(pair,))), "got one of Stable Diffusion XL")
    refused(lambda: open_source(xl, OpenOptions(embeddings=(single,))), "clip_l and clip_g, got <toy>")
    save_file({"clip_l": torch.ones(48), "clip_g": torch.ones(2, 80)}, pair)
    refused(lambda: open_source(xl, OpenOptions(embeddings=(pair,))), "as many vectors for both")


def test_a_variant_and_shards(published: Publish) -> None:
    folder = published(SMALLEST, half=True, variant="fp16", shards="4MB")
    assert len(list((folder / "text_encoder_2").glob("*.safetensors"))) > 1
    source = open_source(folder, OpenOptions(variant="fp16"))
    assert source.source.layouts["text_encoder"]["text_encoder_2.text_projection.weight"].dtype == "F16"
    assert open_checkpoint(folder).tokenizer.encode(PROMPT).ids.shape == (2, 77)
    with pytest.raises(CheckpointError, match="bf16"):
        open_source(folder, OpenOptions(variant="bf16"))


def test_a_tiny_autoencoder(published: Publish, tmp_path: Path) -> None:
    """TAESDXL has TAESD's architecture, and SDXL's latents need no other scale."""
    folder, tiny = published(SMALLEST), published("taesd")
    vae = diffusers.AutoencoderTiny.from_pretrained(tiny)
    drawn = theirs(their_pipeline(folder, vae=vae), 5.0, "blurred", num_inference_steps=STEPS)
    assert_equal(ours(opened(folder, STEPS, decoder=tiny), 5.0, "blurred"), drawn)


@pytest.mark.parametrize(
    ("name", "side", "warned"), [(SMALLEST, 448, True), (SMALLEST, 512, False), ("sd15", 448, False)]
)
def test_a_size_that_sdxl_draws_badly_is_warned_of(
    name: str, side: int, warned: bool, published: Publish, caplog: pytest.LogCaptureFixture
) -> None:
    open_source(published(name), OpenOptions(height=512, width=side))
    lines = [record.getMessage() for record in caplog.records if "--size" in record.getMessage()]
    assert lines == ["--size: SDXL draws badly below 512 pixels a side, got 448x512; give a larger size"] * warned


def test_a_single_file_of_sdxl_inpainting_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "inpainting.safetensors"
    write_header(file, SMALLEST, inputs=9)
    refused(lambda: open_source(file), "inpainting and editing networks of SDXL are not supported")
