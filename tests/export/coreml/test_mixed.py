"""Modules in float32 inside a Core ML package, and the PyTorch measurement compared with the interpreter's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from export.coreml import produce
from export.coreml.interpret import Program
from export.coreml.lower import lower
from export.coreml.mixed import half_program
from export.coreml.options import CoreMLOptions
from export.coreml.package_archive import CoreMLPackage
from export.coreml.structure import nodes
from export.coreml.torch_sources import read_sources
from export.job.mixed import SCORES
from export.mixed.departure import find_departure
from export.mixed.names import covers, spelled
from export.mixed.rounded import everything, nothing
from export.signatures import STAGES
from export.stages import ExportStage, build_stage
from export.studies.faults.observe import FaultObserver
from mobile_diffusion.decibels import snr_db
from tests.export.comparing import arrays_of
from tests.export.overflow import overflowing
from tests.tiny_models import SMALL, emoji_words, untrained

ALIKE_DB = 4.0
"""Two programs that round at slightly different places differ by so much in the noise that they make."""


def dtypes(package: Path) -> dict[str, set[str]]:
    """Module -> the float types of what its operations compute, casts and constants left out."""
    spec = CoreMLPackage.open(package).spec
    sources, found = read_sources(spec), dict[str, set[str]]()
    for node in nodes(spec):
        for name, dtype in node.outputs.items():
            if name in sources and node.operation not in ("const", "cast") and dtype.startswith("FLOAT"):
                found.setdefault(sources[name], set()).add(dtype)
    return found


@pytest.mark.parametrize("units", ["CPU_AND_GPU", "CPU_AND_NE"])
def test_named_modules_and_no_others_are_float32(units: str, tmp_path: Path) -> None:
    names = (*SCORES, "unet.up_blocks.0.resnets.0", "unet.conv_in")
    stage = build_stage(untrained(SMALL, emoji_words(12)), "denoise")
    options = CoreMLOptions(compute_units=units, mixed_precision=spelled(names))
    found = dtypes(tmp_path / lower(stage, tmp_path, options))
    wide = {module for module in found if module.startswith("unet.") and covers(names, "denoise", module)}
    assert {"unet.conv_in", "unet.up_blocks.0.resnets.0.conv1"} < wide and any(one.endswith("attn1") for one in wide)
    assert {module: found[module] for module in wide} == {module: {"FLOAT32"} for module in wide}
    rest = [module for module in found if module.startswith("unet.") and module not in wide]
    assert any(one.endswith("attn1.to_q") for one in rest)
    assert {module: found[module] for module in rest} == {module: {"FLOAT16"} for module in rest}


def as_arrays(stage: ExportStage) -> Mapping[str, Any]:
    return arrays_of(stage)


@pytest.mark.parametrize("name", STAGES)
def test_pytorch_measures_the_rounding_of_the_package(
    name: str, coreml_folder: Path, tiny_stages: Mapping[str, ExportStage]
) -> None:
    """The interpreter runs the saved program; the measurement ran what coremltools was given."""
    stage = tiny_stages[name]
    arrays = as_arrays(stage)
    half = half_program(stage, CoreMLOptions())
    inputs = {key: torch.from_numpy(array) for key, array in arrays.items()}
    exact, rounded = (half.run(inputs, wide)[0].numpy() for wide in (everything, nothing))
    with torch.inference_mode():
        np.testing.assert_allclose(exact, stage.module(**inputs).numpy(), atol=1e-4)
    stored = next(iter(Program.open(coreml_folder / f"{name}.mlpackage").run(**arrays).values()))
    assert snr_db(exact, rounded) == pytest.approx(snr_db(exact, stored), abs=ALIKE_DB)


def test_the_place_is_the_first_overflow_of_the_package(tmp_path: Path) -> None:
    """Stable Diffusion 2.1's case: the interpreter counts overflows in the same module as the measurement names."""
    stage = build_stage(overflowing(untrained(SMALL, emoji_words(12)), "scores"), "denoise")
    arrays = as_arrays(stage)
    found = find_departure(
        half_program(stage, CoreMLOptions()), {key: torch.from_numpy(value) for key, value in arrays.items()}, nothing
    )
    package = tmp_path / lower(stage, tmp_path)
    observer = FaultObserver(read_sources(CoreMLPackage.open(package).spec), {})
    outputs = Program.open(package).run(observer, **arrays)
    assert not math.isfinite(float(next(iter(outputs.values())).sum()))
    first = next(each for each in observer.found.values() if each.counts.broken)
    assert found is not None and (found.module, found.operation) == (first.module, first.operation)
    assert found.largest == pytest.approx(first.counts.highest, rel=0.01)


@pytest.mark.parametrize("names", ["autoencoder.decoder.mid_block", "decode_image"])
def test_compression_leaves_weights_in_float32_alone(names: str, tmp_path: Path) -> None:
    stage = build_stage(untrained(SMALL, emoji_words(12)), "decode_image")
    sizes = {}
    for recipe in ("none", "palettize-8"):
        options = CoreMLOptions(compression=recipe, mixed_precision=names)
        (tmp_path / recipe).mkdir()
        package = tmp_path / recipe / produce.lower(stage, tmp_path / recipe, options)
        sizes[recipe] = sum(file.stat().st_size for file in package.rglob("*.bin"))
        assert dtypes(package)["autoencoder.decoder.mid_block.resnets.0.conv1"] == {"FLOAT32"}
        Program.open(package).run(**as_arrays(stage))
    assert (sizes["palettize-8"] < sizes["none"]) is (names != "decode_image")


def test_a_convolution_stays_in_its_module(tmp_path: Path) -> None:
    """coremltools would make one operation of the last convolution and of the scale that the stage applies to it."""
    built = build_stage(overflowing(untrained(SMALL, emoji_words(12)), "weight"), "decode_image")
    arrays = as_arrays(built)
    names = "autoencoder.decoder:own,autoencoder.decoder.conv_norm_out,autoencoder.decoder.conv_out"
    package = tmp_path / lower(built, tmp_path, CoreMLOptions(mixed_precision=names))
    with torch.inference_mode():
        wanted = built.module(**{key: torch.from_numpy(value) for key, value in arrays.items()}).numpy()
    assert snr_db(wanted, Program.open(package).run(**arrays)["image"]) > 50
    assert dtypes(package)["autoencoder.decoder.conv_out"] == {"FLOAT32"}
