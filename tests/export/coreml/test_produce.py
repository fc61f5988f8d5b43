"""A whole iOS export with every choice made: lowered, compressed, cut, run, gated, opened again and verified."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from export.bundle.bundle import open_bundle
from export.coreml import produce
from export.coreml.compress.write import COMPRESSION_KEY
from export.coreml.options import CoreMLOptions
from export.coreml.package_archive import CoreMLPackage
from export.job.plan import plan_export
from export.job.run import Exported, run_export
from export.targets import TARGETS, open_runner
from export.verify import verify_bundle
from mobile_diffusion.checkpoint import open_checkpoint

OPTIONS = CoreMLOptions("CPU_AND_NE", "iOS16", "palettize-8", chunk_mb=1, pixel_buffer=True)


@pytest.fixture(scope="module")
def bundle(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, exported so; megabytes are a tenth as large, as is the model."""
    out, model = tmp_path_factory.mktemp("chosen") / "ios", open_checkpoint(tiny_checkpoint)
    plan = plan_export(model.config, TARGETS["ios"], threads=1, options={"coreml": OPTIONS}, depth="step")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(produce, "MEGA", 100_000)
        run_export(model, TARGETS["ios"], out, plan=plan)
    return out


@pytest.mark.full
def test_every_choice_is_in_the_packages(bundle: Path) -> None:
    denoise, decode = (CoreMLPackage.open(bundle / f"{stage}.mlpackage") for stage in ("denoise", "decode_image"))
    parts = [model.mlProgram for model in denoise.spec.pipeline.models]
    assert len(parts) > 1
    assert {part.functions["main"].opset for part in parts} == {"CoreML6"}
    assert "palettize-8" in denoise.spec.description.metadata.userDefined[COMPRESSION_KEY]
    blocks = [part.functions["main"].block_specializations["CoreML6"] for part in parts]
    operations = [each.type for block in blocks for each in block.operations]
    assert {"einsum", "constexpr_lut_to_dense"} <= set(operations)
    assert not {"linear", "gather", "matmul"} & set(operations)
    assert decode.spec.description.output[0].type.WhichOneof("Type") == "imageType"


@pytest.mark.full
def test_the_manifest_tells_them_and_verification_judges_by_them(bundle: Path) -> None:
    report = verify_bundle(bundle, threads=1)
    report.require()
    assert report.parity.precisions == {"coreml": "fp16 palettize-8"}
    opened = open_bundle(bundle)
    (entry,) = opened.manifest.runtimes
    assert {each.name: each.value for each in entry.settings} == dict(OPTIONS.settings())
    assert entry.compression == "palettize-8"
    runtime, runner = open_runner(opened, None, threads=1)
    assert runtime.grade == "fp16 palettize-8"
    assert runner.name == "coreml-interpreter"


def test_without_choices_the_manifest_has_the_defaults(exported: Mapping[str, Exported]) -> None:
    (entry,) = exported["ios"].bundle.manifest.runtimes
    assert {each.name: each.value for each in entry.settings} == dict(CoreMLOptions().settings())
    assert entry.compression == "none"
