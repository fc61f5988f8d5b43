"""Overlapping tiles: where they are, how they are joined, compared with diffusers, and drawn with PyTorch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.drawing import DrawSettings, Start
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.inspection.stage_cost import stage_costs
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.run_stage import Arrays
from mobile_diffusion.tiles import decode_picture, encode_picture, image_tiles, latent_tiles, tile_count, tile_starts

TILE = 16
"""Pixels; 8 of the tiny model's 16 latents."""


def with_tiles(config: ModelConfig, tile: int = TILE) -> ModelConfig:
    return dataclasses.replace(config, tile=tile)


def sized(config: ModelConfig, latents: tuple[int, int], tile: tuple[int, int] | None) -> DrawSettings:
    """Settings for latents and tiles of some sides, two pixels a latent."""
    image = (1, 3, *(2 * side for side in latents))
    return dataclasses.replace(DrawSettings.of(config), latent_shape=(1, 4, *latents), image_shape=image, tile=tile)


@given(tile=st.integers(8, 200), more=st.integers(0, 2000))
def test_tiles_cover_a_side_evenly(tile: int, more: int) -> None:
    starts = tile_starts(tile + more, tile)
    assert (starts[0], starts[-1]) == (0, more)
    gaps = np.diff(starts)
    assert not len(gaps) or (gaps.min() > 0 and gaps.max() - gaps.min() <= 1)
    assert all(tile - gap >= tile // 4 for gap in gaps), "neighbours share a quarter"


def test_the_fewest_tiles_are_used() -> None:
    assert tile_starts(64, 64) == (0,)
    assert tile_starts(65, 64) == (0, 1)
    assert tile_starts(112, 64) == (0, 48)
    assert tile_starts(113, 64) == (0, 24, 49)
    assert tile_starts(128, 64) == (0, 32, 64)


def test_a_decoder_without_neighbours_returns_the_same_picture(tiny_config: ModelConfig) -> None:
    """Every pixel of one latent: tiles cannot change it, up to the rounding of a blend."""
    latents = np.random.default_rng(0).random((1, 3, 21, 34), np.float32)
    settings = sized(tiny_config, (21, 34), (8, 9))
    sizes = []

    def run_stage(stage: str, /, **arrays: np.ndarray) -> Arrays:
        name, array = next(iter(arrays.items()))
        sizes.append((stage, array.shape[2:]))
        if name == "latents":
            return {"image": array.repeat(2, axis=2).repeat(2, axis=3)}
        return {"latents": array[..., ::2, ::2]}

    image = decode_picture(run_stage, settings, latents)
    np.testing.assert_allclose(image, latents.repeat(2, axis=2).repeat(2, axis=3), rtol=3e-7)
    np.testing.assert_allclose(encode_picture(run_stage, settings, image), latents, rtol=6e-7)
    count = tile_count(settings)
    assert sizes == [("decode_image", (8, 9))] * count + [("encode_image", (16, 18))] * count
    assert len(list(latent_tiles(settings, latents))) == len(list(image_tiles(settings, image))) == count == 4 * 5


def test_without_tiles_a_stage_gets_the_whole(tiny_config: ModelConfig) -> None:
    latents, settings = np.zeros((1, 4, 16, 16), np.float32), DrawSettings.of(tiny_config)
    assert settings.tile is None and DrawSettings.of(with_tiles(tiny_config, 32)).tile is None
    assert decode_picture(lambda stage, **arrays: {"image": arrays["latents"]}, settings, latents) is latents
    assert next(latent_tiles(settings, latents)).shape == latents.shape


def test_a_tile_fades_in_along_a_line(tiny_config: ModelConfig) -> None:
    """Tiles of zeros, ones, twos and threes: two latents of overlap are four pixels of quarters."""
    numbers = iter(range(4))
    settings = sized(tiny_config, (14, 14), (8, 8))
    image = decode_picture(
        lambda _, **arrays: {"image": np.full((1, 3, 16, 16), next(numbers), np.float32)},
        settings,
        np.zeros((1, 4, 14, 14), np.float32),
    )
    fade = np.concatenate([np.zeros(12), [0, 0.25, 0.5, 0.75], np.ones(12)])
    np.testing.assert_array_equal(image, np.broadcast_to(2 * fade[:, None] + fade, (1, 3, 28, 28)))


@pytest.mark.full
def test_tiles_are_joined_as_diffusers_joins_them(tiny_config: ModelConfig) -> None:
    """Except where four tiles meet: diffusers fades twice there; its last, narrow tiles are left out, too."""
    pytest.importorskip("diffusers")
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    vae = AutoencoderKL(block_out_channels=(8, 8), norm_num_groups=4, sample_size=32, **kinds).eval()
    vae.enable_tiling()
    vae.tile_latent_min_size, vae.tile_sample_min_size = 16, 32
    settings = sized(tiny_config, (28, 28), (16, 16))  # tiles begin at 0 and 12, in diffusers' too
    latents = np.random.default_rng(0).standard_normal((1, 4, 28, 28), np.float32)
    pixels = np.random.default_rng(1).standard_normal((1, 3, 56, 56), np.float32)

    @torch.no_grad()
    def run_stage(stage: str, /, **arrays: np.ndarray) -> Arrays:
        if stage == "decode_image":
            return {"image": vae.decoder(vae.post_quant_conv(torch.from_numpy(arrays["latents"]))).numpy()}
        return {"latents": vae.quant_conv(vae.encoder(torch.from_numpy(arrays["image"]))).numpy()}

    with torch.no_grad():
        wanted = {1: vae._tiled_encode(torch.from_numpy(pixels)), 2: vae.tiled_decode(torch.from_numpy(latents)).sample}
    found = {1: encode_picture(run_stage, settings, pixels), 2: decode_picture(run_stage, settings, latents)}
    for scale, ours in found.items():
        assert ours.shape[2:] == (28 * scale, 28 * scale)
        first, end = 12 * scale, 24 * scale  # the overlap is 12 to 16
        theirs = wanted[scale].numpy()[:, :, :end, :end]
        corner = np.zeros(theirs.shape, bool)
        corner[:, :, first : 16 * scale, first : 16 * scale] = True
        distance = np.abs(ours[:, :, :end, :end] - theirs)
        assert distance[~corner].max() < 1e-5
        assert distance[corner].max() < np.abs(theirs).max() / 4


def test_pytorch_draws_by_tiles(tiny_model: Model) -> None:
    model = dataclasses.replace(tiny_model, config=with_tiles(tiny_model.config))
    pipeline, calls = Pipeline(model), []

    def run_stage(stage: str, /, **arrays: np.ndarray) -> Arrays:
        calls.append((stage, arrays["latents" if stage == "decode_image" else "image"].shape[2:]))
        return pipeline.run(stage, **arrays)

    picture = np.random.default_rng(0).random((1, 3, 32, 32), np.float32)
    latents = encode_picture(run_stage, pipeline.settings, picture)
    decode_picture(run_stage, pipeline.settings, latents)
    assert calls == [("encode_image", (16, 16))] * 9 + [("decode_image", (8, 8))] * 9
    whole, tiled = Pipeline(tiny_model), pipeline
    start = Start(picture, strength=0.25)
    pictures = [each.generate("a red apple", 3, start=start).astype(int) for each in (whole, tiled)]
    assert pictures[0].shape == pictures[1].shape and np.abs(pictures[0] - pictures[1]).max() > 0


def test_costs_are_those_of_a_tile(tiny_config: ModelConfig) -> None:
    """A quarter of the picture at a time, nine times."""
    whole, tiled = ({cost.name: cost for cost in stage_costs(each)} for each in (tiny_config, with_tiles(tiny_config)))
    assert tiled["denoise"] == whole["denoise"]
    assert (whole["decode_image"].runs, tiled["decode_image"].runs) == (1, 9)
    for name in ("decode_image", "encode_image"):
        assert tiled[name].activation_bytes <= whole[name].activation_bytes / 4


@pytest.mark.parametrize("tile", [-16, 8, 17, 8208])
def test_a_tile_that_cannot_be_is_refused(tile: int, tiny_config: ModelConfig) -> None:
    with pytest.raises(ConfigError, match=r"tile is .*; expected 0, or a multiple of 2 from 16 to 8192"):
        with_tiles(tiny_config, tile)
