"""Which module an operation came from: all of them are known, and known rightly, in both layouts."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from export.coreml.interpret import Program
from export.coreml.lower import lower
from export.coreml.options import CoreMLOptions
from export.coreml.package_archive import CoreMLPackage
from export.coreml.structure import nodes
from export.coreml.torch_sources import LARGEST, SOURCES_KEY, read_sources, source_of, without_call
from export.stages import ExportStage, build_stage
from export.studies.faults.graph import step_count
from export.studies.faults.lockstep import against_float32
from export.studies.faults.modules import ModuleValues, against_modules
from mobile_diffusion.errors import ExportError
from tests.export.comparing import arrays_of
from tests.tiny_models import SD1, SMALL, RandomModel

UNITS = ("CPU_AND_GPU", "CPU_AND_NE")
EQUAL_DB = 45.0
"""The program in float32 against PyTorch: only weights are rounded."""


def stage_and_package(name: str, units: str, folder: Path) -> tuple[ExportStage, Path]:
    stage = build_stage(RandomModel(SD1 if name == "encode_text" else SMALL), name)
    return stage, folder / lower(stage, folder, CoreMLOptions(compute_units=units))


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("name", ["denoise", "decode_image", "encode_text"])
def test_every_module_holds_what_pytorch_computes(name: str, units: str, tmp_path: Path) -> None:
    """Nothing could be in the wrong module: every module's last value is compared with the module's output."""
    stage, path = stage_and_package(name, units, tmp_path)
    spec = CoreMLPackage.open(path).spec
    sources = read_sources(spec)
    found = [source_of(list(node.outputs), sources) for node in nodes(spec) if node.operation != "const"]
    assert sum(module is not None for module in found) >= 0.95 * len(found)
    assert step_count(spec) == (SMALL.schedule.steps if name == "denoise" else 1)
    modules = dict(stage.module.named_modules())
    assert set(sources.values()) <= set(modules)
    stored, exact = (Program.open(path, precision) for precision in ("as-stored", "float32"))
    values = (ModuleValues(sources, halved=True), ModuleValues(sources, halved=False))
    arrays = arrays_of(stage)
    against_float32(stored, exact, arrays, sources, ((values[0],), (values[1],)))
    rows = against_modules(stage.module, arrays, *values)
    called: set[str] = set()
    for module in modules:
        modules[module].register_forward_hook(lambda *_, module=module: called.add(module))
    stage.module(**{key: torch.from_numpy(array) for key, array in arrays.items()})
    leaves = {name for name in called & set(sources.values()) if not list(modules[name].children())}
    assert leaves <= {row.module for row in rows} and len(leaves) > 10
    assert {row.module: row.float32_db for row in rows if not row.float32_db > EQUAL_DB} == {}


def test_names_would_have_lied(coreml_folder: Path) -> None:
    """coremltools gives its own operations names that belong to other nodes of the graph; we do not go by names."""
    sources = read_sources(CoreMLPackage.open(coreml_folder / "denoise.mlpackage").spec)
    assert sources["add_0"] == "", "guards the step's index; the graph's first `add` is in a norm"
    assert sources["conv2d_1_cast_fp16"] == "unet.down_blocks.0.resnets.0.conv1"
    assert sources["softmax_cast_fp16"] == "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1"
    assert sources["latents_out"] == "update"


def test_it_takes_little_room(coreml_folder: Path) -> None:
    spec = CoreMLPackage.open(coreml_folder / "denoise.mlpackage").spec
    assert len(spec.description.metadata.userDefined[SOURCES_KEY]) < 10 * len(read_sources(spec))


def test_another_tools_package_has_none(save_program: Callable[..., Path]) -> None:
    from coremltools.converters.mil import Builder

    path = save_program(lambda x: Builder.relu(x=x), x=(1, 2))
    assert read_sources(CoreMLPackage.open(path).spec) == {}


@pytest.mark.parametrize(
    "packed",
    [
        "no base64!",
        base64.b64encode(b"no zlib").decode(),
        base64.b64encode(zlib.compress(b"[1]")).decode(),
        base64.b64encode(zlib.compress(b'{"a": 1}')).decode(),
        base64.b64encode(zlib.compress(b" " * (2 * LARGEST) + b'{"a": "b"}')).decode(),
    ],
)
def test_a_damaged_entry_is_refused(packed: str, ct: Any) -> None:
    spec = ct.proto.Model_pb2.Model()
    spec.description.metadata.userDefined[SOURCES_KEY] = packed
    with pytest.raises(ExportError, match=r"expected names of values by module.*export it again"):
        read_sources(spec)


def test_a_second_call_is_the_same_module() -> None:
    assert without_call("blocks.0@1.norm") == "blocks.0.norm"
