"""Single files of latent diffusion, written from diffusers' and transformers' own random models.

The judge of the names is diffusers' own converter: it must read from our file the weights that went in.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as ldm
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from mobile_diffusion.clip_tokenizer import ClipTokenizer
from mobile_diffusion.config import ClipTextConfig, Stage, UNetConfig
from mobile_diffusion.errors import CheckpointError, ConfigError, MobileDiffusionError
from mobile_diffusion.formats.compvis_names import autoencoder_names, clip_names, open_clip_names, unet_names
from mobile_diffusion.formats.single_file import VOCABULARY, read_single_file
from mobile_diffusion.formats.source import Source, builders, check_source, hash_source
from mobile_diffusion.formats.stored import load_layout
from mobile_diffusion.presets import PRESETS, SD15_UNET, SNAPFUSION_UNET, preset
from mobile_diffusion.schedule import betas
from mobile_diffusion.unet import UNet

State = dict[str, Tensor]

FOUR = {"block_out_channels": (32, 64, 64, 64), "layers_per_block": 2}
THREE = {
    "block_out_channels": (32, 64, 64),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3,
    "up_block_types": ("CrossAttnUpBlock2D",) * 3,
    "mid_block_type": None,
}
V2 = {
    "block_out_channels": (64, 128, 128, 128),
    "attention_head_dim": (1, 2, 2, 2),
    "use_linear_projection": True,
    "layers_per_block": 2,
}
UNETS: dict[str, dict[str, Any]] = {
    "sd1": FOUR,
    "sd2": V2,
    "bk-sdm-base": FOUR | {"layers_per_block": 1},
    "bk-sdm-small": FOUR | {"layers_per_block": 1, "mid_block_type": None},
    "bk-sdm-tiny": THREE,
}


@dataclass(frozen=True)
class Written:
    """A single file, and the models that went into it."""

    file: Path
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    text: CLIPTextModel

    @property
    def parts(self) -> dict[str, torch.nn.Module]:
        return {"unet": self.unet, "autoencoder": self.vae, "text_encoder": self.text}


def write(folder: Path, kind: str = "sd1") -> Written:
    """A narrow model in a single file of the layout that its family has."""
    torch.manual_seed(3)
    open_clip = kind == "sd2"
    unet = UNet2DConditionModel(cross_attention_dim=64, sample_size=8, **UNETS[kind])
    vae = AutoencoderKL(
        block_out_channels=(32, 64, 64),
        layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=100,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=23 if open_clip else 2,
            num_attention_heads=1,
            hidden_act="gelu" if open_clip else "quick_gelu",
        )
    )
    written = Written(folder / f"{kind}.safetensors", unet.eval(), vae.eval(), text.eval())
    for model in written.parts.values():
        for tensor in model.parameters():
            torch.nn.init.normal_(tensor, std=0.2)
    save_file(compvis_state(written, open_clip), written.file)
    return written


def compvis_state(written: Written, open_clip: bool) -> State:
    """The three networks in one state dict, in latent diffusion's names and with its clutter."""
    unet, vae, text = (model.state_dict() for model in written.parts.values())
    stages = unet_config(written.unet)
    vae_names = autoencoder_names(preset("sd15").autoencoder.__class__((32, 64, 64)))
    state = {f"model.diffusion_model.{unet_names(stages).theirs(name)}": tensor for name, tensor in unet.items()}
    for name, tensor in vae.items():
        attention = "attentions" in name and tensor.ndim == 2
        state[f"first_stage_model.{vae_names.theirs(name)}"] = tensor[:, :, None, None] if attention else tensor
    state |= open_clip_state(text) if open_clip else clip_state(text)
    clutter = {
        "betas": torch.from_numpy(betas(preset("sd15").schedule)).float(),
        "model_ema.decay": torch.tensor(0.99),
        "first_stage_model.loss.logvar": torch.zeros(()),
    }
    return {name: tensor.clone().contiguous() for name, tensor in (state | clutter).items()}


def unet_config(unet: UNet2DConditionModel) -> UNetConfig:
    """The stages of diffusers' U-Net, counted in its modules."""
    sides = [
        tuple(Stage(b.resnets[0].out_channels, len(b.resnets), len(getattr(b, "attentions", []))) for b in blocks)
        for blocks in (unet.down_blocks, unet.up_blocks)
    ]
    mid = Stage(sides[0][-1].channels, 2, 1) if unet.mid_block is not None else None
    return UNetConfig(down=sides[0], mid=mid, up=sides[1], context_width=64)


def clip_state(text: State) -> State:
    ids = {"cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(77)[None]}
    return {f"cond_stage_model.transformer.text_model.{name}": tensor for name, tensor in text.items()} | ids


def open_clip_state(text: State) -> State:
    """OpenCLIP's tower, attention fused, with a layer 24 that must not be used."""
    prefix = "cond_stage_model.model."
    names = open_clip_names(ClipTextConfig(layers=24))
    text = {f"text_model.{name}": tensor for name, tensor in text.items()}
    last = {name.replace("layers.22", "layers.23"): tensor + 1 for name, tensor in text.items() if "layers.22" in name}
    state: State = {f"{prefix}text_projection": torch.zeros(64, 64), f"{prefix}logit_scale": torch.zeros(())}
    for name, tensor in (text | last).items():
        if "q_proj" in name:
            tensor = torch.cat([(text | last)[name.replace("q_proj", row)] for row in ("q_proj", "k_proj", "v_proj")])
            name = name.replace("q_proj", "in_proj")
        if "k_proj" not in name and "v_proj" not in name:
            state[f"{prefix}{names.theirs(name)}"] = tensor
    return state


def read_back(file: Path, written: Written) -> dict[str, State]:
    """What diffusers' own converters read from the file, under our names."""
    state = load_file(file)
    text = written.text
    if any(name.startswith("cond_stage_model.model.") for name in state):
        encoder = ldm.convert_open_clip_checkpoint(text, state)
        encoder.pop("text_projection.weight", None)
    else:
        encoder = ldm.convert_ldm_clip_checkpoint(state)
        encoder.pop("text_model.embeddings.position_ids", None)
    autoencoder = ldm.convert_ldm_vae_checkpoint(state, written.vae.config)
    return {
        "unet": ldm.convert_ldm_unet_checkpoint(state, dict(written.unet.config)),
        "autoencoder": {name: tensor for name, tensor in autoencoder.items() if not name.startswith("loss")},
        "text_encoder": encoder,
    }


def read(file: Path, **options: Any) -> Source:
    source = read_single_file(file, **options)
    check_source(source)
    return source


def load(source: Source, part: str) -> torch.nn.Module:
    return load_layout(builders(source.config)[part], source.layouts[part])


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write(tmp_path_factory.mktemp("sd1"))


def rewritten(folder: Path, written: Written, change: Any) -> Path:
    """The file with its state dict changed."""
    state = load_file(written.file)
    file = folder / "changed.safetensors"
    save_file(change(state), file)
    return file


@pytest.mark.parametrize("kind", UNETS)
def test_weights_are_those_that_diffusers_reads(tmp_path: Path, kind: str) -> None:
    written = write(tmp_path, kind)
    source = read(written.file, prediction="v" if kind == "sd2" else None)
    for part, expected in read_back(written.file, written).items():
        state = load(source, part).state_dict()
        assert sorted(state) == sorted(expected)
        assert all(torch.equal(state[name], expected[name]) for name in state)
        original = written.parts[part].state_dict()
        prefix = "text_model." if part == "text_encoder" else ""
        assert all(torch.equal(state[prefix + name], tensor) for name, tensor in original.items())


@pytest.mark.parametrize("kind", UNETS)
def test_networks_compute_what_diffusers_computes(tmp_path: Path, kind: str) -> None:
    written = write(tmp_path, kind)
    source = read(written.file, prediction="v" if kind == "sd2" else None)
    latents, context, step = torch.randn(1, 4, 8, 8), torch.randn(1, 7, 64), torch.tensor([501])
    with torch.no_grad():
        for tensor in written.unet.parameters():  # as a trained network's: not every activation saturated
            tensor.mul_(0.2)
        unet = load(source, "unet")
        for tensor in unet.parameters():
            tensor.mul_(0.2)
        torch.testing.assert_close(unet(latents, step, context), written.unet(latents, step, context).sample)
        tokens = torch.randint(0, 100, (1, 77))
        expected = written.text(tokens).last_hidden_state
        torch.testing.assert_close(load(source, "text_encoder")(tokens), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["sd15", "bk-sdm-base", "bk-sdm-small", "bk-sdm-tiny"])
def test_full_size_files_have_the_presets_configuration(tmp_path: Path, name: str) -> None:
    config = preset(name)
    file = tmp_path / f"{name}.safetensors"
    write_header(file, full_size_shapes(name))
    source = read(file)
    assert source.config.unet == config.unet
    assert source.config.autoencoder == config.autoencoder
    assert source.config.text == config.text
    assert (source.config.height, source.config.schedule.prediction) == (512, "epsilon")


def full_size_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a preset's tensors in a single file."""
    config = preset(name)
    tables = (unet_names(config.unet), autoencoder_names(config.autoencoder), clip_names())  # type: ignore[arg-type]
    prefixes = ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.")
    with torch.device("meta"):
        parts = [build().state_dict() for build in builders(config).values()]
    return {
        f"{prefix}{table.theirs(tensor)}": tuple(value.shape)
        for prefix, table, part in zip(prefixes, tables, parts, strict=True)
        for tensor, value in part.items()
    }


def write_header(file: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file of float16 zeros that takes no room on disk."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text)
    with file.open("r+b") as stream:
        stream.truncate(8 + len(text) + end)


@pytest.mark.parametrize("config", [SNAPFUSION_UNET, SD15_UNET], ids=["snapfusion", "sd15"])
def test_names_translate_both_ways(config: UNetConfig) -> None:
    with torch.device("meta"):
        ours = list(UNet(config).state_dict())
    table = unet_names(config)
    theirs = [table.theirs(name) for name in ours]
    assert len(set(theirs)) == len(ours) and None not in theirs
    assert [table.ours(name or "") for name in theirs] == ours
    assert table.ours("input_blocks.99.0.in_layers.0.weight") is None


def test_snapfusion_table_survives_a_single_file(tmp_path: Path) -> None:
    file = tmp_path / "snapfusion.safetensors"
    write_header(file, full_size_shapes("snapfusion"))
    assert read(file).config.unet == PRESETS["snapfusion"].unet


ATTENTION_NAMES = {
    "linear": {},
    "diffusers": {"norm.": "group_norm.", "q.": "to_q.", "k.": "to_k.", "v.": "to_v.", "proj_out.": "to_out.0."},
    "old diffusers": {"norm.": "group_norm.", "q.": "query.", "k.": "key.", "v.": "value.", "proj_out.": "proj_attn."},
}


@pytest.mark.parametrize("layout", ATTENTION_NAMES)
def test_every_layout_of_the_autoencoders_attention(tmp_path: Path, sd1: Written, layout: str) -> None:
    def change(state: State) -> State:
        changed = {}
        for name, tensor in state.items():
            head, found, tail = name.partition("mid.attn_1.")
            for theirs, other in ATTENTION_NAMES[layout].items():
                if found and tail.startswith(theirs):
                    name = head + found + other + tail.removeprefix(theirs)
            changed[name] = tensor[:, :, 0, 0].contiguous() if found and tensor.ndim == 4 else tensor
        return changed

    source = read(rewritten(tmp_path, sd1, change))
    state = load(source, "autoencoder").state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in sd1.vae.state_dict().items())


def test_older_names_of_clip(tmp_path: Path, sd1: Written) -> None:
    def change(state: State) -> State:
        return {name.replace("transformer.text_model.", "transformer."): tensor for name, tensor in state.items()}

    state = load(read(rewritten(tmp_path, sd1, change)), "text_encoder").state_dict()
    assert all(torch.equal(state[f"text_model.{name}"], tensor) for name, tensor in sd1.text.state_dict().items())


def test_files_written_from_diffusers_have_one_layer_less(tmp_path: Path) -> None:
    written = write(tmp_path, "sd2")
    file = rewritten(tmp_path, written, lambda state: {n: t for n, t in state.items() if "resblocks.23" not in n})
    assert read(file, prediction="epsilon").config.text == read(written.file, prediction="v").config.text


def test_prediction_of_stable_diffusion_2_must_be_said(tmp_path: Path) -> None:
    written = write(tmp_path, "sd2")
    with pytest.raises(ConfigError, match="--prediction"):
        read(written.file)
    assert read(written.file, prediction="epsilon").config.height == 512
    config = read(written.file, prediction="v").config
    assert (config.schedule.prediction, config.height, config.width) == ("v", 768, 768)
    marked = rewritten(tmp_path, written, lambda state: state | {"v_pred": torch.zeros(())})
    assert read(marked).config.schedule.prediction == "v"


CONFIGURATION = """
model:
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    parameterization: "v"
    linear_start: 0.00085
    linear_end: 0.0120
    timesteps: 1000
    scale_factor: 0.18215
    conditioning_key: crossattn
    cond_stage_config:
      params: {layer: "penultimate"}
"""


def test_a_configuration_beside_the_file_is_read(tmp_path: Path) -> None:
    written = write(tmp_path, "sd2")
    written.file.with_suffix(".yaml").write_text(CONFIGURATION)
    source = read(written.file)
    assert source.config.schedule.prediction == "v"
    assert written.file.with_suffix(".yaml") in source.files
    before = hash_source(source)
    written.file.with_suffix(".yaml").write_text(CONFIGURATION.replace('    parameterization: "v"\n', ""))
    assert read(written.file).config.schedule.prediction == "epsilon"
    assert hash_source(read(written.file)) != before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("    beta_schedule: cosine", "option beta_schedule"),
        ("    conditioning_key: hybrid", "option conditioning_key"),
        ("    linear_end: 0.02", "betas"),
        ("    timesteps: many", "option timesteps: expected a number, got 'many'"),
        ("    scale_factor: true", "option scale_factor"),
        ("  - what", "expected an LDM configuration"),
    ],
)
def test_a_configuration_that_is_not_supported(tmp_path: Path, line: str, message: str) -> None:
    written = write(tmp_path, "sd2")
    key = line.split(":")[0] + ":"
    lines = [old for old in CONFIGURATION.splitlines() if not old.startswith(key)]
    written.file.with_suffix(".yaml").write_text("\n".join([*lines[:4], line, *lines[4:]]))
    with pytest.raises(CheckpointError, match=message) as caught:
        read(written.file)
    assert "\n" not in str(caught.value)


def test_notes_in_the_file_are_read(tmp_path: Path, sd1: Written) -> None:
    notes = {"modelspec.prediction_type": "v", "modelspec.resolution": "640x512", "modelspec.license": "MIT"}
    file = tmp_path / "noted.safetensors"
    save_file(load_file(sd1.file), file, metadata=notes)
    config = read(file).config
    assert (config.schedule.prediction, config.height, config.width, config.licence) == ("v", 512, 640, "MIT")
    file.with_suffix(".yaml").write_text(CONFIGURATION.replace('"v"', "eps").replace("penultimate", "last"))
    with pytest.raises(CheckpointError, match="expected one prediction, got epsilon and v"):
        read(file)


def test_packaged_vocabulary(tmp_path: Path, sd1: Written) -> None:
    tokenizer = read(sd1.file).open_tokenizer()
    tokens = tokenizer.encode("a red apple!").ids
    assert tokens[:6].tolist() == [49406, 320, 736, 3055, 256, 49407] and set(tokens[6:].tolist()) == {49407}
    assert read(sd1.file, tokenizer=VOCABULARY).open_tokenizer().encode("a cat").ids.shape == (77,)


def test_padding_of_stable_diffusion_2_is_that_of_its_tokenizer_folder(tmp_path: Path) -> None:
    source = read(write(tmp_path, "sd2").file, prediction="v")
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    for name in ("vocab.json", "merges.txt"):
        (folder / name).write_bytes((VOCABULARY / name).read_bytes())
    special = json.loads((VOCABULARY / "special_tokens_map.json").read_text()) | {"pad_token": "!"}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    expected = ClipTokenizer.from_folder(folder, 77)
    for prompt in ("", "a red apple", "stop! now!!", "é ! x"):
        assert source.open_tokenizer().encode(prompt).ids.tolist() == expected.encode(prompt).ids.tolist()
    assert source.open_tokenizer().encode("").ids.tolist() == [49406, 49407, *[0] * 75]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["conditioner.embedders.0.transformer.text_model.x"], "Stable Diffusion XL"),
        (["model.diffusion_model.label_emb.0.0.weight"], "Stable Diffusion XL"),
        (["model.diffusion_model.joint_blocks.0.x"], "Stable Diffusion 3"),
        (["double_blocks.0.img_attn.qkv.weight"], "Flux"),
        (["control_model.input_blocks.0.0.weight"], "ControlNet"),
        (["lora_unet_down_blocks_0.lora_down.weight"], "LoRA.*--lora"),
        (["unet.down_blocks.0.attentions.0.proj_in.lora_A.weight"], "LoRA"),
        (["down_blocks.0.resnets.0.conv1.weight"], "one part of a diffusers folder; give the folder"),
        (["decoder.mid.block_1.conv1.weight"], "an autoencoder alone"),
        (["input_blocks.0.0.weight"], "a U-Net alone"),
        (["model.diffusion_model.input_blocks.0.0.weight"], "without autoencoder .*, text encoder"),
        (["first_stage_model.decoder.conv_in.weight"], "without U-Net .*, text encoder"),
        (["emb_params"], "textual inversion"),
        (["x"], "without U-Net .*, autoencoder .*, text encoder"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, names: list[str], message: str) -> None:
    file = tmp_path / "other.safetensors"
    save_file({name: torch.zeros(2) for name in names}, file)
    refused(file, message)


def refused(file: Path, message: str) -> None:
    """Opening it raises one line that matches."""
    with pytest.raises(MobileDiffusionError, match=message) as caught:
        read(file)
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)


CONV_IN = "model.diffusion_model.input_blocks.0.0.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({CONV_IN: torch.zeros(32, 9, 3, 3)}, "an inpainting model"),
        ({CONV_IN: torch.zeros(32, 8, 3, 3)}, "an instruct-pix2pix model"),
        ({CONV_IN: torch.zeros(32, 5, 3, 3)}, "a depth model"),
        ({CONV_IN: torch.zeros(32, 4, 3, 3, dtype=torch.int32)}, "expected floats"),
        ({CONV_IN: torch.zeros(32, 4, 1, 1)}, "expected shape"),
        ({CONV_IN: torch.zeros(32)}, "of 2 dimensions or more"),
        ({CONV_IN: None}, "input_blocks.0.0.weight"),
        ({"model.diffusion_model.what.weight": torch.zeros(1)}, "'model.diffusion_model.what.weight'.*expected none"),
        ({"first_stage_model.encoder.mid.attn_1.q.weight": None}, "is missing"),
        ({"first_stage_model.encoder.down.0.attn.0.q.weight": torch.zeros(1)}, "expected none of that name"),
        ({"cond_stage_model.model.ln_final.weight": torch.zeros(64)}, "one text encoder, got CLIP's and OpenCLIP's"),
        ({"model.diffusion_model.output_blocks.0.0.in_layers.2.weight": None}, "is missing"),
        ({"model.diffusion_model.output_blocks.0.0.out_layers.3.weight": None}, "up"),
        ({"betas": torch.linspace(1e-4, 2e-2, 1000)}, "betas"),
        ({"model.diffusion_model.input_blocks.1.1.transformer_blocks.1.norm1.weight": torch.zeros(32)}, "is extra"),
    ],
)
def test_wrong_tensors_are_named(tmp_path: Path, sd1: Written, change: dict[str, Any], message: str) -> None:
    def apply(state: State) -> State:
        return {name: tensor for name, tensor in (state | change).items() if tensor is not None}

    refused(rewritten(tmp_path, sd1, apply), message)


def test_damaged_files_give_one_line(tmp_path: Path, sd1: Written) -> None:
    content = sd1.file.read_bytes()
    for name, damaged in {"half": content[: len(content) // 2], "empty": b"", "text": b"not a file at all"}.items():
        file = tmp_path / f"{name}.safetensors"
        file.write_bytes(damaged)
        refused(file, "expected a whole safetensors file")
    refused(tmp_path / "absent.safetensors", "got nothing there")
    pickle = tmp_path / "model.ckpt"
    pickle.write_bytes(content)
    refused(pickle, "pickle")


def test_nothing_is_logged(sd1: Written, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        read(sd1.file)
    assert not caplog.records
