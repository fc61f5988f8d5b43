"""Models of every other family that the installed diffusers has are refused by their family's name."""

from __future__ import annotations

import json
from pathlib import Path

import diffusers
import pytest
from diffusers.loaders.single_file_utils import CHECKPOINT_KEY_NAMES

from mobile_diffusion.checkpoint import open_source
from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.pipeline_families import FAMILIES
from mobile_diffusion.formats.pipelines import PIPELINES
from mobile_diffusion.formats.refused_families import refuse_other_families

BASES = ("DiffusionPipeline", "ModularPipeline")
OTHERS = sorted(name for name in dir(diffusers) if name.endswith("Pipeline") and name not in (*PIPELINES, *BASES))


def refusal(folder: Path, pipeline: str) -> str:
    """The message for a folder of this pipeline."""
    (folder / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    with pytest.raises(CheckpointError) as caught:
        open_source(folder)
    return str(caught.value)


def test_every_pipeline_of_diffusers_is_named(tmp_path: Path) -> None:
    assert len(OTHERS) > 300
    unnamed = [name for name in OTHERS if "which mobile-diffusion does not support" not in refusal(tmp_path, name)]
    assert not unnamed


@pytest.mark.parametrize(
    ("pipeline", "family"),
    [
        ("DreamLitePipeline", "DreamLite"),
        ("ZImagePipeline", "Z-Image"),
        ("ChromaPipeline", "Chroma"),
        ("HiDreamImagePipeline", "HiDream"),
        ("QwenImageEditPipeline", "Qwen-Image"),
        ("Krea2Pipeline", "Krea"),
        ("Cosmos2TextToImagePipeline", "Cosmos"),
        ("StableDiffusion3Pipeline", "Stable Diffusion 3"),
        ("LDMTextToImagePipeline", "the latent diffusion model of 2022"),
        ("LDMPipeline", "a latent diffusion model without text"),
    ],
)
def test_the_family_is_the_right_one(tmp_path: Path, pipeline: str, family: str) -> None:
    assert f": this is {family}, which mobile-diffusion does not support" in refusal(tmp_path, pipeline).replace(
        ", before Stable Diffusion", ""
    )


def test_a_pipeline_of_nobody_is_shown(tmp_path: Path) -> None:
    assert "this is a NobodysPipeline, which mobile-diffusion does not know" in refusal(tmp_path, "NobodysPipeline")


def test_every_prefix_is_of_a_pipeline() -> None:
    """Flax's pipelines left diffusers; their folders did not leave the hub."""
    assert [prefix for prefix in FAMILIES if not any(name.startswith(prefix) for name in OTHERS)] == ["Flax"]


XL = ("xl_base", "clip_sdxl", "open_clip_sdxl")
OURS = ("v1", "v2", "upscale", "inpainting", "instruct-pix2pix", "clip", "open_clip", *XL)
"""Tensors that Stable Diffusion 1, 2 and XL have, too."""
REFINER = ("xl_refiner", "open_clip_sdxl_refiner")
"""Names of a text encoder that files of Stable Diffusion 2 share; a refiner's U-Net has `label_emb`."""
KEYS = [
    (kind, key)
    for kind, keys in CHECKPOINT_KEY_NAMES.items()
    if kind not in (*OURS, *REFINER)
    for key in ([keys] if isinstance(keys, str) else keys)
]


@pytest.mark.parametrize(("kind", "key"), KEYS)
def test_every_single_file_that_diffusers_tells_apart_is_named(kind: str, key: str) -> None:
    """Its own table of the tensors that identify a family."""
    with pytest.raises(CheckpointError, match="expected a model of Stable Diffusion 1, 2 or XL, got ") as caught:
        refuse_other_families(Path("model.safetensors"), [key])
    words = {"chroma": "Chroma", "hidream": "HiDream", "krea2": "Krea", "qwen-image-2.1": "Qwen-Image"}
    words |= {"z-image-turbo": "Z-Image", "cosmos-1.0": "Cosmos", "cosmos-2.0": "Cosmos", "wan": "Wan", "flux": "Flux"}
    words |= {"flux2": "Flux", "flux3": "Flux", "sana": "Sana", "lumina2": "Lumina", "sd3": "3"}
    assert words.get(kind, "") in str(caught.value)


@pytest.mark.parametrize(("kind", "first"), [("chroma", "Chroma"), ("hunyuan-video", "HunyuanVideo")])
def test_a_relative_of_flux_is_not_called_flux(kind: str, first: str) -> None:
    keys = CHECKPOINT_KEY_NAMES[kind]
    key = keys if isinstance(keys, str) else keys[0]
    with pytest.raises(CheckpointError, match=first):
        refuse_other_families(Path("x"), ["double_blocks.0.img_attn.qkv.weight", key])
