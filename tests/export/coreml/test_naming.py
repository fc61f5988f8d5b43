"""Names of a package's outputs, and the way back to the stage's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from export.coreml import OUTPUTS_KEY
from export.coreml.naming import outputs_metadata, package_name, stage_outputs
from export.signatures import TensorSpec
from export.stages import ExportStage
from mobile_diffusion.errors import ExportError


def spec_with(metadata: dict[str, str]) -> Any:
    """As much of a specification as `stage_outputs` reads."""
    return SimpleNamespace(
        description=SimpleNamespace(
            output=[SimpleNamespace(name="latents_out")], metadata=SimpleNamespace(userDefined=metadata)
        )
    )


def test_only_an_output_named_like_an_input_is_renamed(tiny_stages: Mapping[str, ExportStage]) -> None:
    names = {name: [package_name(stage, spec) for spec in stage.outputs] for name, stage in tiny_stages.items()}
    assert names == {"encode_text": ["context"], "denoise": ["latents_out"], "decode_image": ["image"]}


def test_every_output_is_renamed_by_itself() -> None:
    inputs = tuple(TensorSpec(name, "float32", (1,)) for name in ("latents", "memory"))
    stage = ExportStage("denoise", nn.Identity(), inputs, (*inputs, TensorSpec("image", "float32", (1,))))
    assert [package_name(stage, spec) for spec in stage.outputs] == ["latents_out", "memory_out", "image"]
    assert json.loads(outputs_metadata(stage)[OUTPUTS_KEY]) == {
        "latents_out": "latents",
        "memory_out": "memory",
        "image": "image",
    }


def test_the_package_says_the_way_back(tiny_stages: Mapping[str, ExportStage]) -> None:
    assert stage_outputs(spec_with(outputs_metadata(tiny_stages["denoise"]))) == {"latents_out": "latents"}


def test_a_package_without_the_entry_keeps_its_names() -> None:
    assert stage_outputs(spec_with({})) == {"latents_out": "latents_out"}


@pytest.mark.parametrize("text", ["{", "[1]", "3"])
def test_a_broken_entry_is_refused(text: str) -> None:
    with pytest.raises(ExportError, match=f"{OUTPUTS_KEY}: expected a JSON object of names"):
        stage_outputs(spec_with({OUTPUTS_KEY: text}))


def test_the_saved_package_holds_it(coreml_folder: Path, ct: Any) -> None:
    path = coreml_folder / "denoise.mlpackage"
    spec = ct.models.MLModel(str(path), skip_model_load=True).get_spec()
    assert stage_outputs(spec) == {"latents_out": "latents"}
