"""`verify --checkpoint` names where a runtime that fails a gate leaves PyTorch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from export.cli.verify import write_reproduction
from export.studies.where import Place, WrongConstant
from mobile_diffusion.checkpoint import Model
from tests.export.cli.test_commands import Command, command
from tests.export.evidence.planting import edit_program

__all__ = ["command"]
SPOILED = "unet.mid_block.resnets.0.conv2"
DEPARTS = f"denoise: departs first in {SPOILED} (Conv2d): "
RUNTIMES = {
    "onnx": ("android", "onnx/denoise.onnx", np.float32, DEPARTS),
    "xnnpack": ("android", "denoise.pte", np.float32, f"denoise: {SPOILED}.weight (XNNPACK's constant "),
    "coreml": ("ios", "denoise.mlpackage", np.float16, DEPARTS),
}
"""Runtime -> target, program, how it stores the kernel, and how the place begins."""


@pytest.mark.full
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_verify_names_the_place_of_a_failed_gate(
    runtime: str,
    command: Command,
    copy_of: Callable[[str], Path],
    tiny_checkpoint: Path,
    tiny_model: Model,
    tmp_path: Path,
) -> None:
    target, program, dtype, place = RUNTIMES[runtime]
    bundle = copy_of(target)
    kernel = tiny_model.unet.get_parameter(f"{SPOILED.removeprefix('unet.')}.weight").detach()
    kernel = kernel.permute(0, 2, 3, 1) if runtime == "xnnpack" else kernel
    stored = np.ascontiguousarray(kernel.half().numpy()).astype(dtype)  # a checkpoint is stored in half
    edit_program(bundle, program, stored.tobytes(), (-stored).tobytes())
    script = tmp_path / "reproduction.py"
    words = ("--checkpoint", str(tiny_checkpoint), "--threads", "1", "--reproduction", str(script), "--json")
    result = command("verify", str(bundle), *words)
    assert result.status == 2
    if runtime != "xnnpack":  # a constant that is not the checkpoint's needs no script
        shown = subprocess.run([sys.executable, "-I", script], capture_output=True, text=True, check=True).stdout
        exact, pytorch, _, program = (float(re.split(r"\s{2,}", line)[1].split()[0]) for line in shown.splitlines())
        assert pytorch == pytest.approx(exact, rel=1e-4) and abs(program - exact) > 0.1 * abs(exact)
    places = json.loads(result.out)["places"]
    assert list(places) == [runtime] and places[runtime].startswith(place)


def test_no_reproduction_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "[red].py"
    write_reproduction({}, script)
    assert "no gate failed that can be looked into" in capsys.readouterr().err
    write_reproduction(
        {"xnnpack": Place(WrongConstant("denoise", "constant 3 [0]", "unet.conv_in.weight", "1", "2"))}, script
    )
    said = capsys.readouterr().err
    assert "no layer that is a sum of products departs" in said and "[red].py is not written" in said
    assert not script.exists()
