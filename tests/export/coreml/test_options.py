"""Choices of an iOS export: names, limits, and what the manifest tells an app of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from export.compression import CompressionPlan
from export.coreml.options import GPU, NEURAL_ENGINE, CoreMLOptions
from mobile_diffusion.errors import ConfigError


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"compute_units": "cpu_and_ne"}, "compute_units: expected one of ALL, CPU_ONLY, CPU_AND_GPU, CPU_AND_NE"),
        ({"deployment_target": "iOS15"}, "deployment_target: expected one of iOS16, iOS17, iOS18"),
        ({"chunk_mb": -1}, "chunk_mb: expected a number of megabytes, or 0, got -1"),
    ],
)
def test_what_does_not_exist_is_refused_with_the_choices(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        CoreMLOptions(**changes)


@pytest.mark.parametrize(
    ("units", "layout"), [("CPU_AND_NE", NEURAL_ENGINE), ("CPU_AND_GPU", GPU), ("ALL", GPU), ("CPU_ONLY", GPU)]
)
def test_the_layout_follows_from_the_compute_units(units: str, layout: str) -> None:
    assert CoreMLOptions(compute_units=units).layout == layout


def test_a_plan_is_named_by_its_bits(tmp_path: Path) -> None:
    CompressionPlan("denoise", (), conditions={"bits_per_weight": 4.46}).save(tmp_path / "plan.json")
    assert CoreMLOptions(compression=str(tmp_path / "plan.json")).compression_name == "mixed-4.5"
    assert CoreMLOptions(compression="palettize-6").compression_name == "palettize-6"
    with pytest.raises(ConfigError, match="or the path of a plan, got 'zip'"):
        _ = CoreMLOptions(compression="zip").compression_name


def test_an_app_is_told_what_it_has_to_know() -> None:
    settings = CoreMLOptions("CPU_AND_NE", "iOS18", pixel_buffer=True).settings()
    assert settings == {"compute_units": "CPU_AND_NE", "deployment_target": "iOS18", "pixel_buffer": "true"}
