"""Estimates follow the size of the model; too little memory or disk is refused at once, with figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from export.delegates.options import DELEGATES, DelegateOptions
from export.job import free_space, resources
from export.job.free_space import available_memory, free_disk, headrooms
from export.job.plan import plan_export
from export.job.resources import (
    Estimate,
    check_resources,
    estimate,
    estimate_export,
    needs_of,
)
from export.targets import RUNTIMES, TARGETS
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.errors import ExportError
from mobile_diffusion.inspection import stage_costs
from mobile_diffusion.presets import preset
from mobile_diffusion.units import GB

WORK = Estimate("lower denoise for Core ML", 8 * GB, 2 * GB)


def test_every_runtime_has_an_estimate() -> None:
    assert all(needs_of(runtime).disk > 0 for runtime in RUNTIMES.values())


@pytest.mark.parametrize("delegate", DELEGATES)
def test_a_delegate_needs_its_own_runtimes_memory_and_the_payload(delegate: str, tiny_config: ModelConfig) -> None:
    runtime = RUNTIMES["executorch"].chosen(DelegateOptions(delegate))
    for cost in stage_costs(tiny_config):
        alone, inside = estimate(cost, RUNTIMES[delegate]), estimate(cost, runtime)
        assert (alone.memory_bytes < inside.memory_bytes) and (alone.disk_bytes == inside.disk_bytes)


@pytest.mark.parametrize("target", TARGETS)
def test_an_export_at_full_size_is_expected_to_take_less_than_12_gigabytes(target: str) -> None:
    config = preset("sd15")
    found = estimate_export(config, plan_export(config, TARGETS[target]))
    weights = 4 * 859.5e6
    assert weights < max(each.memory_bytes for each in found) < 12 * GB
    written = 2 * weights if target == "android" else weights / 2  # two runtimes in float32, one in float16
    assert written < sum(each.disk_bytes for each in found) < 1.25 * written  # text encoder and decoder beside


def test_a_larger_picture_needs_more(tiny_config: ModelConfig) -> None:
    larger = dataclasses.replace(tiny_config, height=256, width=256)
    plan = plan_export(tiny_config, TARGETS["ios"])
    small, large = (
        max(each.memory_bytes for each in estimate_export(config, plan)) for config in (tiny_config, larger)
    )
    assert large > small


def test_a_small_model_is_held_whole(tiny_config: ModelConfig) -> None:
    plan = plan_export(tiny_config, TARGETS["ios"])
    apart = estimate_export(tiny_config, dataclasses.replace(plan, large=True))
    together = estimate_export(tiny_config, plan)
    assert all(whole.memory_bytes > part.memory_bytes for whole, part in zip(together, apart, strict=True))


def test_this_computer_can_export_the_tiny_model(tiny_config: ModelConfig, tmp_path: Path) -> None:
    check_resources(estimate_export(tiny_config, plan_export(tiny_config, TARGETS["ios"])), tmp_path / "new" / "out")


def test_too_little_memory_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(resources, "available_memory", lambda: 3_120_000_000)
    message = "expected about 8.0 GB of free memory to lower denoise for Core ML, got 3.1 GB; close other programs"
    with pytest.raises(ExportError, match=message) as caught:
        check_resources([Estimate("run denoise with PyTorch", GB, GB), WORK], tmp_path)
    assert "\n" not in str(caught.value)


def test_too_little_disk_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(resources, "available_memory", lambda: 9 * GB)
    monkeypatch.setattr(free_space.shutil, "disk_usage", lambda path: SimpleNamespace(free=3 * GB))
    check_resources([WORK], tmp_path)
    with pytest.raises(
        ExportError, match=r"out: expected about 4.0\d* GB of free disk for the bundle, got 3.0 GB; make"
    ):
        check_resources([WORK, WORK], tmp_path / "out")


def test_disk_is_that_of_the_output(small_disk: Path) -> None:
    assert free_disk(small_disk / "not" / "yet") <= 2**20


def test_memory_is_that_of_the_system_where_no_group_limits_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(free_space.psutil, "virtual_memory", lambda: SimpleNamespace(available=5 * GB))
    monkeypatch.setattr(free_space, "headrooms", lambda membership, root: iter(()))
    assert available_memory() == 5 * GB
    monkeypatch.setattr(free_space, "headrooms", lambda membership, root: iter((7 * GB, 2 * GB)))
    assert available_memory() == 2 * GB


@pytest.fixture
def write_group(tmp_path: Path) -> Callable[..., None]:
    """Writes a control group of version 1 or 2."""

    def write(path: str, version: int, limit: str, usage: int, files: int) -> None:
        group = tmp_path / path
        group.mkdir(parents=True, exist_ok=True)
        names = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"), 2: ("memory.max", "memory.current")}[version]
        prefix = "total_" if version == 1 else ""
        (group / names[0]).write_text(f"{limit}\n")
        (group / names[1]).write_text(f"{usage}\n")
        stat = f"anon 5\n{prefix}inactive_file {files}\n{prefix}active_file 1\n"
        (group / "memory.stat").write_text(stat)

    return write


def test_groups_of_version_2(tmp_path: Path, write_group: Callable[..., None]) -> None:
    write_group("user/session", 2, "max", 90, 0)
    write_group("user", 2, "1000", 700, 50)
    write_group("", 2, "5000", 700, 50)
    (tmp_path / "membership").write_text("0::/user/session\n")
    assert list(headrooms(tmp_path / "membership", tmp_path)) == [351, 4351]


def test_groups_of_version_1(tmp_path: Path, write_group: Callable[..., None]) -> None:
    write_group("memory/box", 1, "1000", 1200, 100)
    (tmp_path / "membership").write_text("5:cpu,cpuacct:/other\n4:memory:/box/hidden\n0::/\n")
    assert list(headrooms(tmp_path / "membership", tmp_path)) == [0]


def test_without_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert list(headrooms(tmp_path / "absent", tmp_path)) == []
