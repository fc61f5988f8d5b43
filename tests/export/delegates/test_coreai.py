"""Core AI programs as delegates: laid out as by ExecuTorch, the same as without it, and refused when spoiled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from executorch.exir import to_edge_transform_and_lower
from executorch.exir.backend.backend_details import PreprocessResult

from export.coreai import lower as coreai_lowering
from export.coreai.asset import HASH, PROGRAM
from export.coreai.inspect import operations
from export.delegates import coreai
from export.delegates.read import read_program
from export.delegates.write import write_program
from export.runners.delegated import DelegatedRunner
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError
from tests.export.delegates.test_lower import Small

Stages = Mapping[str, ExportStage]
NAME = "decode_image"


@pytest.fixture
def bridged(monkeypatch: pytest.MonkeyPatch) -> None:
    """ExecuTorch 1.5.1 knows a method of coreai-core by its name before 1.0.0b3."""
    from coreai.authoring import AIProgram

    monkeypatch.setattr(AIProgram, "get_graph", AIProgram._get_graph, raising=False)


def test_the_payload_is_laid_out_as_executorch_lays_it_out(
    bridged: None, coreai_delegates_folder: Path, tmp_path: Path
) -> None:
    from executorch.backends.apple.coreai import CoreAIPartitioner, get_default_compile_config

    edge = to_edge_transform_and_lower(
        {"small": torch.export.export(Small(), (torch.ones(2), torch.ones(2)))},
        partitioner=[CoreAIPartitioner()],
        compile_config=get_default_compile_config(),
    )
    theirs = tmp_path / "small.pte"
    with theirs.open("wb") as file:
        edge.to_executorch().write_to_file(file)
    wanted, found = read_program(theirs, "small"), read_program(coreai_delegates_folder / f"{NAME}.pte", NAME)
    assert (found.backend, found.settings) == (wanted.backend, wanted.settings)
    first, second = (json.loads(bytes(each.payload)) for each in (wanted, found))
    assert first.keys() == second.keys()
    for name in ("files", "packaging", "min_deployment_version"):
        assert first[name] == second[name]
    for program, payload in ((wanted, first), (found, second)):
        assert payload["path"] == f"{payload['hash']}/model.aimodel"
        assert sorted(program.named) == [f"coreai/{payload['hash']}/{name}" for name in sorted(payload["files"])]


def test_the_asset_inside_is_the_one_of_the_runtime_coreai(
    coreai_delegates_folder: Path, tiny_stages: Stages, tmp_path: Path
) -> None:
    alone = tmp_path / coreai_lowering.lower(tiny_stages[NAME], tmp_path)
    path = coreai_delegates_folder / f"{NAME}.pte"
    inside = coreai.unpack(path, read_program(path, NAME), ["latents"], ["image"], tmp_path)
    assert operations(inside) == operations(alone)
    assert (inside / PROGRAM).stat().st_size == (alone / PROGRAM).stat().st_size


@pytest.mark.parametrize("payload", [b"{}", b"[]", b"\xff", b'{"hash": "00"}', b'{"hash": 7}'])
def test_a_payload_that_is_no_asset(
    payload: bytes, tiny_stages: Stages, tmp_path: Path, coreai_delegates_folder: Path
) -> None:
    path = tmp_path / f"{NAME}.pte"
    write_program(path, tiny_stages[NAME], coreai.BACKEND, PreprocessResult(processed_bytes=payload))
    path.with_suffix(".json").write_bytes((coreai_delegates_folder / f"{NAME}.json").read_bytes())
    with pytest.raises(ExportError, match="expected a Core AI asset in the delegate, got"):
        DelegatedRunner.load(tmp_path, {NAME: path.name})


def test_a_changed_program_does_not_have_its_hash(
    coreai_delegates_folder: Path, tiny_stages: Stages, tmp_path: Path
) -> None:
    path = coreai_delegates_folder / f"{NAME}.pte"
    (tmp_path / "inside").mkdir()
    asset = coreai.unpack(path, read_program(path, NAME), ["latents"], ["image"], tmp_path / "inside")
    with (asset / PROGRAM).open("r+b") as file:
        file.seek(-9, 2)
        file.write(b"123456789")
    spoiled = tmp_path / f"{NAME}.pte"
    write_program(spoiled, tiny_stages[NAME], coreai.BACKEND, coreai.pack(asset))
    assert (asset / HASH).is_file(), "the asset is where it was"
    spoiled.with_suffix(".json").write_bytes(path.with_suffix(".json").read_bytes())
    with pytest.raises(ExportError, match="expected a program with the hash in main.hash"):
        DelegatedRunner.load(tmp_path, {NAME: spoiled.name})


def test_names_beside_the_program_that_are_not_its_own(coreai_delegates_folder: Path, tmp_path: Path) -> None:
    path = coreai_delegates_folder / f"{NAME}.pte"
    with pytest.raises(ExportError, match="with the tensors noise and image, got latents and image"):
        coreai.unpack(path, read_program(path, NAME), ["noise"], ["image"], tmp_path)
