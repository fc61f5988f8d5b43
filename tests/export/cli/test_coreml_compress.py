"""`mobile-diffusion coreml compress` and `plan` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from export.cli.main import build_app
from export.compression import load_plan
from export.coreml.compress import layers_of
from export.coreml.package_archive import CoreMLPackage
from mobile_diffusion.errors import ConfigError, ExportError


def run(*arguments: str) -> str:
    """What a command prints; its errors are raised."""
    result = CliRunner().invoke(build_app(), ["coreml", *arguments], catch_exceptions=False, env={"COLUMNS": "120"})
    if result.exception is not None:
        raise result.exception
    return result.output


def test_a_package_is_compressed_and_its_layers_are_shown(coreml_folder: Path, tmp_path: Path) -> None:
    package, out = coreml_folder / "decode_image.mlpackage", tmp_path / "out.mlpackage"
    said = run("compress", str(package), "--recipe", "palettize-6", "--out", str(out))
    count = len(layers_of(CoreMLPackage.open(package)))
    assert f"layers of {count} that lost most" in said and "input: seeded normal numbers" in said
    assert "output image:" in said and "dB from the uncompressed package" in said and "MB of weights became" in said


def test_mistakes_are_said_in_one_line(coreml_folder: Path, tmp_path: Path) -> None:
    package = str(coreml_folder / "decode_image.mlpackage")
    with pytest.raises(ConfigError, match=r"compression: expected one of none, int8, .* got 'palettize-7'"):
        run("compress", package, "--recipe", "palettize-7", "--out", str(tmp_path / "out"))
    with pytest.raises(ExportError, match=r"expected a new folder, got one that exists"):
        run("compress", package, "--recipe", "int8", "--out", str(tmp_path), "--no-outputs")
    with pytest.raises(ConfigError, match=r"plan: expected --bits or --snr, got both or neither"):
        run("plan", str(coreml_folder), "--out", str(tmp_path / "plan.json"))
    assert not list(tmp_path.iterdir())


@pytest.mark.full
def test_a_checkpoint_is_planned_and_the_plan_used(
    tiny_checkpoint: Path, coreml_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.studies.bits.planning.CANDIDATES", ("palettize-2", "palettize-4"))
    plan, out = tmp_path / "plan.json", tmp_path / "out.mlpackage"
    few = ("--steps", "2", "--prompts", "1", "--threads", "1")
    said = run("plan", str(tiny_checkpoint), "--bits", "3.4", *few, "--out", str(plan))
    assert "palettize-2" in said and "3.4 bits" in said and "bits per weight; predictions at" in said
    found = load_plan(plan)
    conditions = json.loads(plan.read_text())["conditions"]
    assert (conditions["states"], conditions["steps"], conditions["layout"]) == (2, 2, "gpu")
    assert found.stage == "denoise" and conditions["bits_per_weight"] <= 3.4
    package = str(coreml_folder / "denoise.mlpackage")
    said = run("compress", package, "--recipe", str(plan), "--out", str(out), "--no-outputs")
    assert "MB of weights became" in said and "dB from the uncompressed" not in said
