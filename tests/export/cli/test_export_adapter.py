"""`export adapter`: an adapter that is made after a bundle was shipped, as a file beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.job.run import Exported
from tests.export.cli.test_commands import Command, assert_refused, command
from tests.mobile_diffusion.formats.conftest import Publish, published
from tests.mobile_diffusion.formats.lora_files import Networks, networks, unet_file, unet_lora

__all__ = ["command", "published"]
DRAW = ("generate", "a house", "--seed", "3", "--threads", "1")


@pytest.fixture(scope="module")
def sd15(published: Publish) -> Networks:
    return networks(published, "sd15")


@pytest.fixture(scope="module")
def files(sd15: Networks, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Three LoRAs of the cross-attention in diffusers' format; for the last, the first two leave no room."""
    folder = tmp_path_factory.mktemp("loras")
    for name, rank in {"ink": 4, "wool": 3, "large": 5}.items():
        unet_file(
            folder / name, unet_lora(sd15, r=rank, lora_alpha=6 * rank, target_modules=r".*attn2\.(to_q|to_out\.0)")
        )
    return {name: next((folder / name).glob("*.safetensors")) for name in ("ink", "wool", "large")}


def drawn(command: Command, out: Path, *words: str) -> np.ndarray:
    result = command(*DRAW, "-o", str(out), *words)
    assert result.status == 0, result.err
    return np.asarray(Image.open(out)).astype(int)


@pytest.mark.full
def test_an_adapter_of_later_draws_as_pytorch_does(
    command: Command, sd15: Networks, files: Mapping[str, Path], tmp_path: Path
) -> None:
    model, bundle, later = str(sd15.folder), str(tmp_path / "android"), tmp_path / "later"
    few = ("--size", "64", "--steps", "2")
    options = ("--runtime", "onnx", "--threads", "1", "--out", bundle)
    exported = command("export", "android", model, *few, *options, "--adapter", f"ink={files['ink']}")
    assert exported.status == 0, exported.err
    make = ("export", "adapter", model, "--bundle", bundle, "--out", str(later), "--adapter")
    made = command(*make, f"wool={files['wool']}")
    assert made.status == 0 and "wool.safetensors: " in made.out, made.err
    assert_refused(
        command(*make, f"large={files['large']}"), "expected a rank up to 4, for which the model has room, got 5"
    )
    assert [each.name for each in later.iterdir()] == ["wool.safetensors"]
    of_bundle = ("--bundle", bundle, "--adapter-file", str(later / "wool.safetensors"))
    plain = drawn(command, tmp_path / "plain.png", *of_bundle)
    for name in ("ink", "wool"):
        scale = ("--adapter-scale", f"{name}=0.8")
        expected = drawn(
            command, tmp_path / "torch.png", "--model", model, *few, "--adapter", f"{name}={files[name]}", *scale
        )
        found = drawn(command, tmp_path / f"{name}.png", *of_bundle, *scale)
        assert np.abs(found - expected).max() <= 1 and np.abs(found - plain).max() > 8
    both = ("--adapter-scale", "ink=1", "--adapter-scale", "wool=1")
    assert_refused(
        command(*DRAW, *of_bundle, *both), "adapter: expected up to 1 at once, for which there is room, got 2"
    )


def test_bundles_without_room_and_files_without_a_bundle(
    command: Command, exported: Mapping[str, Exported], tiny_checkpoint: Path, tmp_path: Path
) -> None:
    bundle, file = str(exported["android"].bundle.path), tmp_path / "ink.safetensors"
    make = ("export", "adapter", str(tiny_checkpoint), "--bundle", bundle)
    assert_refused(command(*make, "--adapter", f"ink={file}"), "--bundle: expected a bundle with adapters, got ")
    given = ("--adapter-file", str(file))
    assert_refused(command(*DRAW, "--bundle", bundle, *given), "--adapter-file: expected a bundle with adapters, got ")
    asked = command(*DRAW, "--model", str(tiny_checkpoint), *given)
    assert_refused(
        asked, "--adapter-file: expected a --bundle for it, got none; a checkpoint takes --adapter NAME=FILE"
    )
    for word, reason in (("ink", "NAME=SCALE"), ("ink=x", "NAME=SCALE"), ("ink=1", "expected none, as this model")):
        assert_refused(command(*DRAW, "--model", str(tiny_checkpoint), "--adapter-scale", word), reason)
    assert list(tmp_path.iterdir()) == []
