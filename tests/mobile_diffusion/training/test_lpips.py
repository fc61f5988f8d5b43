"""LPIPS: its arithmetic on random weights, and the refusal of anything but arrays."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mobile_diffusion.errors import DataError
from mobile_diffusion.training.lpips import ARCHIVE, WIDTHS, ArrayUnpickler, Lpips, fetch_archive, load_lpips, save_half


@pytest.fixture(scope="module")
def arrays() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    flat = [width for widths in WIDTHS for width in widths]
    trunk = {}
    for index, (inputs, outputs) in enumerate(zip([3, *flat], flat, strict=False)):
        kernel = generator.standard_normal((3, 3, inputs, outputs), np.float32) * (2 / (9 * inputs)) ** 0.5
        trunk[f"Conv_{index}"] = {"kernel": kernel, "bias": np.zeros(outputs, np.float32)}
    heads = {
        f"NetLinLayer_{index}": {"Conv_0": {"kernel": generator.random((1, 1, widths[-1], 1), np.float32)}}
        for index, widths in enumerate(WIDTHS)
    }
    return {"VGG16_0": trunk, **heads}


@torch.no_grad()
def test_distance(arrays: dict[str, Any]) -> None:
    torch.manual_seed(0)
    lpips, images = Lpips().load_arrays(arrays), torch.rand(2, 3, 32, 32) * 2 - 1
    assert lpips(images, images).abs().max() == 0
    near, far = lpips(images, images + 0.01), lpips(images, torch.rand(2, 3, 32, 32) * 2 - 1)
    assert (near > 0).all() and (far > near).all()
    assert torch.equal(lpips(images, -images), lpips(-images, images))


@torch.no_grad()
def test_first_depth_by_hand(arrays: dict[str, Any]) -> None:
    """The first of the five terms, computed in NumPy from the paper's equation 1."""
    lpips = Lpips().load_arrays(arrays)
    for index in range(1, len(WIDTHS)):
        getattr(lpips, f"head_{index}").zero_()
    left, right = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    features = [lpips.features(x)[0].numpy().astype(np.float64) for x in (left, right)]
    assert np.allclose((features[0] ** 2).sum(axis=1), 1.0, atol=1e-5)
    head = arrays["NetLinLayer_0"]["Conv_0"]["kernel"][0, 0, :, 0]
    expected = (head[None, :, None, None] * (features[0] - features[1]) ** 2).sum(axis=1).mean()
    assert lpips(left, right).item() == pytest.approx(expected, rel=1e-4)


@torch.no_grad()
def test_half_of_the_weights_bytes_without_the_archive(arrays: dict[str, Any], tmp_path: Path) -> None:
    lpips, images = Lpips().load_arrays(arrays), torch.rand(2, 3, 32, 32) * 2 - 1
    file = save_half(lpips, tmp_path / "weights")
    found = load_lpips(tmp_path / "weights")(images, -images)
    torch.testing.assert_close(found, lpips(images, -images), rtol=2e-3, atol=0)
    file.write_bytes(b"no weights")
    with pytest.raises(DataError, match="expected LPIPS's weights, got .*delete it"):
        load_lpips(tmp_path / "weights")


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("harm",))


def test_only_arrays_are_unpickled(capsys: pytest.CaptureFixture[str]) -> None:
    content = pickle.dumps({"a": np.arange(3, dtype=np.float32)})
    assert ArrayUnpickler(io.BytesIO(content)).load()["a"].tolist() == [0, 1, 2]
    with pytest.raises(DataError, match="NumPy arrays only"):
        ArrayUnpickler(io.BytesIO(pickle.dumps(Harmful()))).load()
    assert capsys.readouterr().out == ""


def test_wrong_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / ARCHIVE).write_bytes(b"other")
    with pytest.raises(DataError, match="SHA-256"):
        fetch_archive(tmp_path)
