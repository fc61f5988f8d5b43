"""Single files of latent diffusion: names, networks and tokenizer.

The judge of the names is diffusers' own converter: it must read from our file the weights that went in.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from mobile_diffusion.config import UNetConfig
from mobile_diffusion.formats.compvis_names import unet_names
from mobile_diffusion.formats.single_text import VOCABULARY
from mobile_diffusion.presets import SD15_UNET, SNAPFUSION_UNET, preset
from mobile_diffusion.tokenization.clip_tokenizer import ClipTokenizer
from mobile_diffusion.unet import UNet
from tests.mobile_diffusion.formats.compvis_files import (
    UNETS,
    State,
    Written,
    full_size_shapes,
    load,
    read,
    read_back,
    rewritten,
    write,
    write_header,
)


@pytest.fixture(scope="module")
def sd1(tmp_path_factory: pytest.TempPathFactory) -> Written:
    return write(tmp_path_factory.mktemp("sd1"))


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


@pytest.mark.parametrize(
    "name", ["sd15", "sd21-base", "sd21-v", "snapfusion", "bk-sdm-base", "bk-sdm-small", "bk-sdm-tiny"]
)
def test_full_size_files_have_the_presets_configuration(tmp_path: Path, name: str) -> None:
    config = preset(name)
    file = tmp_path / f"{name}.safetensors"
    write_header(file, full_size_shapes(name))
    source = read(file, prediction=config.schedule.prediction)
    assert source.config.unet == config.unet
    assert source.config.autoencoder == config.autoencoder
    assert source.config.text == config.text
    assert (source.config.height, source.config.width) == (config.height, config.width)


@pytest.mark.parametrize("config", [SNAPFUSION_UNET, SD15_UNET], ids=["snapfusion", "sd15"])
def test_names_translate_both_ways(config: UNetConfig) -> None:
    with torch.device("meta"):
        ours = list(UNet(config).state_dict())
    table = unet_names(config)
    theirs = [table.theirs(name) for name in ours]
    assert len(set(theirs)) == len(ours) and None not in theirs
    assert [table.ours(name or "") for name in theirs] == ours
    assert table.ours("input_blocks.99.0.in_layers.0.weight") is None


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
