"""Files that are not one call of one delegate are refused in one line that names what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from executorch.exir._serialize._program import deserialize_pte_binary
from executorch.exir.backend.backend_details import PreprocessResult

from export.delegates import coreml
from export.delegates.read import read_program
from export.delegates.write import write_program
from export.runners.delegated import DelegatedRunner
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError
from tests.export.delegates.test_lower import Small, by_executorch


@pytest.fixture
def program(delegates_folder: Path, tmp_path: Path) -> Path:
    """A copy that may be spoiled, with the file next to it."""
    for kind in ("pte", "json"):
        (tmp_path / f"decode_image.{kind}").write_bytes((delegates_folder / f"decode_image.{kind}").read_bytes())
    return tmp_path / "decode_image.pte"


def cut(data: bytes) -> bytes:
    return data[:-1000]


def tables_spoiled(data: bytes) -> bytes:
    return data[:64] + bytes(200) + data[264:]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut, r"damaged or another: ValueError: expected \d+ bytes, got \d+"),
        (lambda data: data[:100], "damaged or another"),
        (lambda data: b"", "damaged or another"),
        (lambda data: b"PK\3\4" + data[4:8] + bytes(4000), "damaged or another"),
        (lambda data: bytes(5000), "expected a header of ExecuTorch"),
        (tables_spoiled, "damaged or another"),
    ],
    ids=["cut", "a stub", "empty", "another header", "zeros", "tables"],
)
def test_damaged_files(spoil: Callable[[bytes], bytes], message: str, program: Path) -> None:
    program.write_bytes(spoil(program.read_bytes()))
    with pytest.raises(ExportError, match=message) as caught:
        DelegatedRunner.load(program.parent, {"decode_image": program.name})
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="lost.pte: expected an ExecuTorch program, got no file"):
        read_program(tmp_path / "lost.pte", "denoise")


def test_the_program_of_another_stage(program: Path) -> None:
    with pytest.raises(ExportError, match="expected an ExecuTorch program of denoise, got a file that is"):
        read_program(program, "denoise")


def test_it_is_what_executorch_reads(delegates_folder: Path) -> None:
    """Compared with ExecuTorch's own reader."""
    path = delegates_folder / "denoise.pte"
    theirs = deserialize_pte_binary(path.read_bytes()).program
    (plan,) = theirs.execution_plan
    (delegate,), found = plan.delegates, read_program(path, "denoise")
    assert (found.backend, found.planned_bytes) == (delegate.id, sum(plan.non_const_buffer_sizes))
    assert found.settings == {spec.key: bytes(spec.value) for spec in delegate.compile_specs}
    assert bytes(found.payload) == bytes(theirs.backend_delegate_data[delegate.processed.index].data)


def test_a_bundle_is_opened_without_executorch() -> None:
    code = (
        "import sys, export.runners.delegated; print(sorted(name for name in sys.modules if 'executorch.exir' in name))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_operations_outside_are_named(executorch_folder: Path, tmp_path: Path) -> None:
    """A program of Android's, and one that ExecuTorch itself has divided."""
    with pytest.raises(ExportError, match=r"expected one delegate with nothing outside it, got aten::.*embedding.*"):
        read_program(executorch_folder / "encode_text.pte", "encode_text")
    path = tmp_path / "small.pte"
    with path.open("wb") as file:
        by_executorch(Small(), torch.ones(2), torch.ones(2), skip=["aten.sub.tensor"]).to_executorch().write_to_file(
            file
        )
    with pytest.raises(ExportError, match=r"got aten::sub outside; export it again"):
        read_program(path, "small")


def test_another_delegate(tiny_stages: Mapping[str, ExportStage], program: Path) -> None:
    write_program(program, tiny_stages["decode_image"], "MPSBackend", PreprocessResult(processed_bytes=b"1"))
    with pytest.raises(ExportError, match="expected the delegate CoreMLBackend or CoreAIBackend, got 'MPSBackend'"):
        DelegatedRunner.load(program.parent, {"decode_image": program.name})


@pytest.mark.parametrize(
    ("payload", "message"),
    [(b"no file system", "expected a Core ML package in the delegate"), (b"", "expected an ExecuTorch program")],
)
def test_a_payload_that_is_no_package(
    payload: bytes, message: str, tiny_stages: Mapping[str, ExportStage], program: Path
) -> None:
    result = PreprocessResult(processed_bytes=payload)
    write_program(program, tiny_stages["decode_image"], coreml.BACKEND, result)
    with pytest.raises(ExportError, match=message):
        DelegatedRunner.load(program.parent, {"decode_image": program.name})


def test_names_beside_the_program_that_are_not_its_own(program: Path) -> None:
    file = program.with_suffix(".json")
    values = json.loads(file.read_text())
    values["inputs"][0]["name"] = "noise"
    file.write_text(json.dumps(values))
    with pytest.raises(
        ExportError, match="expected a delegate with the tensors noise and image, got latents and image"
    ):
        DelegatedRunner.load(program.parent, {"decode_image": program.name})
