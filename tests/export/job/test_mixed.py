"""Exports of networks that float16 cannot hold: the line that says why, the way out, and what the manifest keeps."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest

from export.bundle.bundle import open_bundle
from export.cli import main
from export.verify import verify_bundle
from tests.export.overflow import OVERFLOWS, save_overflowing
from tests.tiny_models import SMALL, emoji_words, untrained

STAGES = ("text_encoder.encoder.layer.0.output", "unet.conv_in", "attn1:own", "autoencoder.decoder.conv_norm_out")


def run(*arguments: object) -> tuple[int, list[str], str]:
    """Exit status, errors and output of a command, run in this process."""
    out, err = io.StringIO(), io.StringIO()
    words = ["mobile-diffusion", *map(str, arguments)]
    with patch.object(sys, "argv", words), redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
        main.main()
    errors = [line for line in err.getvalue().splitlines() if line.startswith("error:")]
    return int(end.value.code or 0), errors, out.getvalue()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with every kind of overflow at once."""
    folder = tmp_path_factory.mktemp("overflow") / "all"
    return save_overflowing(untrained(SMALL, emoji_words(12)), folder, *OVERFLOWS)


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle with measured float32."""
    out = tmp_path_factory.mktemp("bundle") / "ios"
    status, errors, _ = run("export", "ios", checkpoint, "--steps", 2, "--mixed-precision", "auto", "--out", out, "--threads", 1)
    assert (status, errors) == (0, [])
    return out


def test_x(bundle: Path) -> None:
    manifest = open_bundle(bundle).manifest
    print(manifest.runtimes[0].settings)
