"""The plan of an export is found again in its manifest, the modules that stayed in float32 included."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest

from export.bundle.manifest_parts import ArtifactEntry, RuntimeEntry, SettingEntry
from export.delegates.options import DELEGATES, DelegateOptions
from export.evidence.plan import plan_of, runtime_of
from export.job.run import Exported
from export.mixed.names import SETTING, names_of
from export.signatures import STAGES


def test_the_plan_is_that_of_the_export(exported: Mapping[str, Exported]) -> None:
    for each in exported.values():
        plan = plan_of(each.bundle, "trajectory", 1)
        assert plan.stages == each.plan.stages
        assert [(one.name, one.grade, one.runs_here) for one in plan.runtimes] == [
            (one.name, one.grade, one.runs_here) for one in each.plan.runtimes
        ]
        assert [names_of(one.mixed_precision) for one in plan.runtimes] == [()] * len(plan.runtimes)


def test_modules_in_float32_are_those_of_the_setting(exported: Mapping[str, Exported]) -> None:
    entry = exported["ios"].bundle.manifest.runtimes[0]
    mixed = dataclasses.replace(entry, settings=(*entry.settings, SettingEntry(SETTING, "decode_image")))
    runtime = runtime_of(mixed)
    assert (runtime.mixed_precision, runtime.grade) == ("decode_image", "fp16")
    assert runtime.options is not None
    assert {each.name: each.value for each in mixed.settings} == dict(runtime.options.settings())


@pytest.mark.parametrize("delegate", DELEGATES)
def test_the_delegate_is_that_of_the_setting(delegate: str) -> None:
    """`verify` expects the settings of the programs inside, which each of Apple's runtimes has of its own."""
    options = DelegateOptions(delegate)
    artifacts = tuple(
        ArtifactEntry(stage, f"executorch/{stage}.pte", stage, ("out",), options.precision, "none", 1, ())
        for stage in STAGES
    )
    settings = tuple(SettingEntry(name, value) for name, value in options.settings().items())
    runtime = runtime_of(RuntimeEntry("executorch", True, True, settings, artifacts))
    assert runtime.options is not None
    assert dict(runtime.options.settings()) == dict(options.settings())
