"""`mobile-diffusion coreml faults`: table, JSON, picture, exit status, one-line errors."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from export.bundle.bundle import write_bundle
from export.bundle.manifest import Manifest
from export.bundle.manifest_parts import FileEntry, TokenizerEntry
from export.cli.main import build_app
from export.stages import ExportStage
from export.studies.faults.report import KINDS
from export.studies.faults.subjects import subjects
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.errors import ConfigError, ExportError
from tests.export.samples import sample_manifest
from tests.tiny_models import TOKENIZER

RUN = CliRunner()


def invoke(*arguments: object) -> tuple[int, str]:
    result = RUN.invoke(build_app(), ["coreml", "faults", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_a_sound_package(coreml_folder: Path, tiny_checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "faults.json"
    package = coreml_folder / "decode_image.mlpackage"
    status, text = invoke(package, "--checkpoint", tiny_checkpoint, "--out", out, "--threads", 1, "--modules")
    assert status == 0 and "decode_image, as-stored" in text and "PyTorch" in text
    (report,) = json.loads(out.read_text())["reports"]
    assert not report["broken"] and set(report["totals"]) == set(KINDS) and report["totals"]["overflow"] == 0
    assert all(each["module"] is not None for each in report["operations"])
    assert all(float(case["output_db"]) > 40 for case in report["against_float32"])
    for case in report["against_pytorch"]:
        assert len(case["modules"]) > 30 and case["first"] is None and case["wrong"] is None
    picture = Image.open(tmp_path / "faults-decode_image.png")
    assert picture.format == "PNG" and len(picture.convert("RGB").getcolors(1 << 20) or ()) > 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faults-decode_image.png", "faults.json"]


def test_a_faulty_package_of_another_tool(faulty: Path, tmp_path: Path) -> None:
    out = tmp_path / "faults.json"
    status, text = invoke(faulty, "--out", out, "--threads", 1)
    assert status == 2 and "ratio_cast_fp16" in text and "no checkpoint" in text
    (report,) = json.loads(out.read_text())["reports"]
    assert report["broken"] and report["totals"]["infinite"] > 0 and report["totals"]["nan"] > 0
    assert {each["module"] for each in report["operations"]} == {None}
    assert report["against_pytorch"] == []


@pytest.fixture
def bundle(coreml_folder: Path, tmp_path: Path) -> Path:
    """A bundle with the tiny model's packages, and its tokenizer."""
    out = tmp_path / "bundle"
    tokenizer = TokenizerEntry("wordpiece", 12, ("tokenizer.json",))

    def manifest(folder: Path, files: tuple[FileEntry, ...]) -> Manifest:
        return dataclasses.replace(sample_manifest(files), tokenizer=tokenizer)

    with write_bundle(out, manifest) as new:
        for path in (path for path in coreml_folder.rglob("*") if path.is_file()):
            target = new / path.relative_to(coreml_folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
        (new / "tokenizer.json").write_bytes(TOKENIZER.read_bytes())
        for name in ("golden/index.json", "parity.json"):
            (new / name).parent.mkdir(exist_ok=True)
            (new / name).write_text("{}")
    return out


def test_a_bundle_gives_every_stage_prompts_and_contexts_of_its_own(bundle: Path) -> None:
    found = {each.path.stem: each for each in subjects(bundle, None)}
    assert set(found) == {"encode_text", "denoise", "decode_image"}
    filling = found["denoise"].filling
    assert filling.steps == 2 and filling.tokens is not None and filling.contexts is not None
    assert filling.contexts("a red apple")["context"].shape == (1, 12, 48)
    assert int(filling.tokens("a red apple")["mask"].sum()) == 5
    assert all(each.module is None for each in found.values())


def test_with_a_checkpoint_contexts_are_pytorchs(
    coreml_folder: Path, tiny_model: Model, tiny_stages: Mapping[str, ExportStage]
) -> None:
    (found,) = subjects(coreml_folder / "denoise.mlpackage", tiny_model)
    assert found.module is not None and type(found.module) is type(tiny_stages["denoise"].module)
    assert found.filling.steps == tiny_model.config.schedule.steps
    assert found.filling.contexts is not None and found.filling.contexts("")["context"].shape == (1, 12, 48)


def test_what_is_neither_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a \.mlpackage, or a bundle of them"):
        invoke(tmp_path)


@pytest.mark.parametrize(("out", "reason"), [("faults.txt", "ends in .json"), ("none/faults.json", "existing folder")])
def test_a_report_that_cannot_be_written_is_refused_first(out: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=reason):
        invoke(tmp_path / "none.mlpackage", "--out", tmp_path / out)
    assert list(tmp_path.iterdir()) == []
