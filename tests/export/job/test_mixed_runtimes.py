"""Every runtime that has float16 keeps modules in float32: measured ones, and what a checkpoint asks for.

Core ML's and XNNPACK's own cases are in test_mixed.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from benchmarks.checkpoints.random_weights import write_checkpoint
from mobile_diffusion.checkpoint import save_checkpoint
from tests.export.coreai_packages import needs_coreai
from tests.export.job.test_mixed import UPCAST, names_of, run
from tests.export.overflow import save_overflowing
from tests.tiny_models import SMALL, emoji_words, untrained

HALVES = [
    pytest.param("ios", "coreai", (), marks=needs_coreai),
    pytest.param("ios", "executorch", (), marks=pytest.mark.full),
    pytest.param("android", "vulkan", ("--precision", "fp16"), marks=pytest.mark.full),
]
"""Platform, runtime, and what it needs for float16; Core ML and XNNPACK are in test_mixed.py, and the
delegate of ExecuTorch on the iPhone, which is Core ML's or Core AI's program, is for the full run."""


@pytest.mark.full
@pytest.mark.parametrize(("platform", "runtime", "words"), HALVES)
def test_every_runtime_with_half_keeps_what_is_measured(
    platform: str, runtime: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    checkpoint = save_overflowing(untrained(SMALL, emoji_words(12)), tmp_path / "model", "stream")
    given = ("export", platform, checkpoint, "--steps", 1, "--threads", 1, "--runtime", runtime, *words)
    out = tmp_path / "bundle"
    status, (line,), _ = run(*given, "--out", out)
    assert status == 2 and f"{runtime} denoise: float16 leaves PyTorch at unet.conv_in (conv" in line
    assert "expected at most 65504; give --mixed-precision auto" in line and not out.exists()
    status, errors, _ = run(*given, "--out", out, "--mixed-precision", "auto")
    assert (status, errors) == (0, [])
    names = names_of(out).split(",")
    assert "unet.conv_in" in names
    assert not [name for name in names if name.endswith(("attn1.to_q", "ff", "conv1", "conv2"))]


@pytest.mark.parametrize(("platform", "runtime", "words"), [("ios", "coreml", ()), *HALVES])
def test_upcast_attention_is_float32_scores_in_every_runtime(
    platform: str, runtime: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    save_checkpoint(untrained(UPCAST, emoji_words(12)), tmp_path / "model")
    given = ("--steps", 1, "--threads", 1, "--runtime", runtime, *words, "--out", tmp_path / "bundle")
    status, errors, _ = run("export", platform, tmp_path / "model", *given)
    assert (status, errors) == (0, [])
    assert names_of(tmp_path / "bundle") == "unet.*.attn1:own,unet.*.attn2:own"


@pytest.fixture(scope="module")
def attention(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder, Stable Diffusion 1.5 with narrow layers, whose self attention leaves float16."""
    folder = write_checkpoint("sd15", tmp_path_factory.mktemp("attention") / "sd15", narrow=16)
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    scaled = {name for name in state if "attn1.to_q.weight" in name or "attn1.to_k.weight" in name}
    save_file({name: each * 120 if name in scaled else each for name, each in state.items()}, file, {"format": "pt"})
    return folder


@pytest.mark.full
@pytest.mark.parametrize(("platform", "runtime", "words"), [("ios", "coreml", ()), *HALVES])
def test_stable_diffusion_with_large_scores(
    platform: str, runtime: str, words: tuple[str, ...], attention: Path, tmp_path: Path
) -> None:
    """A softmax of such scores needs every digit of what is in front of it, so that most of the U-Net is float32.

    Vulkan's update of the latents is float16, too, and at the last step of a schedule loses more than the attention.
    """
    given = ("export", platform, attention, "--steps", 1, "--threads", 1, "--runtime", runtime, *words)
    status, (line,), _ = run(*given, "--out", tmp_path / "bundle")
    place = "denoise (sub)" if runtime == "vulkan" else "unet."
    assert status == 2 and f"{runtime} denoise: float16 leaves PyTorch at {place}" in line
    assert "attn1 (" in line and "give --mixed-precision auto" in line
    status, errors, _ = run(*given, "--out", tmp_path / "bundle", "--mixed-precision", "auto")
    assert (status, errors) == (0, [])
    names = names_of(tmp_path / "bundle").split(",")
    assert {"denoise", "unet.conv_in"} & set(names)
    assert not [name for name in names if name.startswith(("text_encoder", "autoencoder"))]
