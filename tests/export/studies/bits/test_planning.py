"""Sensitivities of the tiny model's layers, and plans within budgets."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from export.compression import find_recipe, load_plan
from export.compression.plan import bits_per_weight, uniform_plan, uniform_recipes
from export.compression.recipes import RECIPES
from export.coreml.compress import compress_package, layers_of
from export.coreml.compress.stage import compress_stage
from export.coreml.interpret import Program
from export.coreml.package_archive import CoreMLPackage
from export.denoise import Denoise
from export.parity.golden import write_golden
from export.parity.record import record
from export.parity.trajectories import Case, Trajectory
from export.runners.torch import TorchRunner
from export.studies.bits.outputs import inputs_for
from export.studies.bits.planning import Budget, make_plan, named, planned
from export.studies.bits.sensitivity import Bench, States, predictions
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.decibels import snr_db
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import ConfigError, ExportError
from mobile_diffusion.progress import silent

CASES = (Case("a red apple, 3d", 7), Case("a cat", 3))
CANDIDATES = [RECIPES[name] for name in ("palettize-2", "palettize-4", "palettize-6", "none")]
Errors = dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def settings(tiny_model: Model) -> DrawSettings:
    return DrawSettings.of(tiny_model.config)


@pytest.fixture(scope="module")
def drawn(tiny_model: Model, torch_runner: TorchRunner, settings: DrawSettings) -> list[Trajectory]:
    return [record(torch_runner, tiny_model.tokenizer, settings, case) for case in CASES]


@pytest.fixture(scope="module")
def module(torch_runner: TorchRunner) -> Denoise:
    return cast(Denoise, torch_runner.stages["denoise"].module)


@pytest.fixture(scope="module")
def package(coreml_folder: Path) -> CoreMLPackage:
    return CoreMLPackage.open(coreml_folder / "denoise.mlpackage")


@pytest.fixture(scope="module")
def bench(module: Denoise, package: CoreMLPackage, drawn: Sequence[Trajectory], settings: DrawSettings) -> Bench:
    return Bench(module, package, layers_of(package), States.of(drawn, settings))


@pytest.fixture(scope="module")
def errors(bench: Bench) -> Errors:
    return bench.errors(CANDIDATES, silent)


def test_states_are_of_all_steps_and_all_drawings(drawn: Sequence[Trajectory], settings: DrawSettings) -> None:
    once, all_of_them = States.of(drawn, settings), States.of(drawn, settings, 2)
    assert sorted(once.steps.tolist()) == list(range(8)) and len(all_of_them.steps) == 16
    for latents, step, context in zip(once.latents, once.steps, once.context, strict=True):
        chosen = drawn[int(step) % 2]
        np.testing.assert_array_equal(latents, chosen.states[int(step)])
        np.testing.assert_array_equal(context, chosen.contexts["context"][0])
    with pytest.raises(ConfigError, match=r"states: expected drawings"):
        States.of([], settings)


def test_predictions_are_what_the_stage_updates_with(
    module: Denoise, drawn: Sequence[Trajectory], settings: DrawSettings
) -> None:
    states = States.of(drawn, settings)
    found = predictions(module, states)
    for number, step in enumerate(states.steps.tolist()):
        before, after = (drawn[step % 2].states[step + each] for each in (0, 1))
        update = module.update
        expected = update.m00[step] * torch.from_numpy(before) + update.m01[step] * found[number]  # type: ignore[index]
        np.testing.assert_allclose(expected, after, rtol=1e-4, atol=1e-4)


def test_fewer_bits_disturb_more_and_the_module_is_put_back(bench: Bench, errors: Errors) -> None:
    assert errors.keys() == bench.layers.keys()
    for each in errors.values():
        assert each["palettize-2"] > each["palettize-4"] > each["palettize-6"] > each["none"] == 0.0
    assert bench.error() == 0.0


def test_errors_of_layers_add_up_nearly(bench: Bench, errors: Errors) -> None:
    for name in ("palettize-6", "palettize-4"):
        added = -10 * np.log10(sum(each[name] for each in errors.values()))
        measured = bench.together(uniform_recipes(list(bench.layers.values()), RECIPES[name]))
        assert measured == pytest.approx(added, abs=2)


def test_a_plan_beats_one_recipe_of_its_size(bench: Bench, errors: Errors) -> None:
    layers = list(bench.layers.values())
    uniform = uniform_recipes(layers, RECIPES["palettize-4"])
    bits = bits_per_weight(layers, uniform)
    found = planned(bench, layers, errors, Budget(bits=bits), {"states": 8})
    recipes = {layer.name: RECIPES[layer.recipe] for layer in found.layers}
    assert bits_per_weight(layers, recipes) <= bits and found.budget == f"{bits:g} bits"
    assert found.measured_snr_db is not None and found.measured_snr_db > bench.together(uniform) + 0.5
    assert found.conditions["opset"] == 7


def test_a_quality_that_is_asked_for_is_measured(bench: Bench, errors: Errors) -> None:
    layers = list(bench.layers.values())
    plans = [planned(bench, layers, errors, Budget(snr_db=wanted), {}) for wanted in (15.0, 25.0)]
    sizes = [bits_per_weight(layers, named({each.name: each.recipe for each in plan.layers})) for plan in plans]
    assert sizes[0] < sizes[1] < 9
    assert plans[0].measured_snr_db >= 15 and plans[1].measured_snr_db >= 25  # type: ignore[operator]


def test_budgets_that_cannot_be(bench: Bench, errors: Errors) -> None:
    for wrong in ({}, {"bits": 4.0, "snr_db": 30.0}, {"bits": 0.0}, {"bits": 17.0}, {"snr_db": float("nan")}):
        with pytest.raises(ConfigError):
            Budget(**wrong)
    with pytest.raises(ConfigError, match=r"expected recipes of 1 bits, got 2\.\d\d at the least"):
        planned(bench, list(bench.layers.values()), errors, Budget(bits=1.0), {})


def test_a_plan_from_the_package_to_the_package(
    module: Denoise,
    package: CoreMLPackage,
    drawn: Sequence[Trajectory],
    settings: DrawSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("export.studies.bits.planning.CANDIDATES", ("palettize-2", "palettize-4"))
    states = States.of(drawn[:1], settings)
    null = states.null_context
    assert null is not None
    part = States(states.latents[:2], states.steps[:2], states.context[:2], null[:2], states.guidance)
    plan = make_plan(module, package, part, Budget(bits=3.5), {"cases": ["a red apple"]})
    plan.save(tmp_path / "plan.json")
    path = Path(shutil.copytree(package.path, tmp_path / "denoise.mlpackage"))
    found = compress_stage(path, "denoise", str(tmp_path / "plan.json"))
    wanted = {each.name: each.recipe for each in load_plan(tmp_path / "plan.json").layers}
    assert {each.name: each.recipe for each in found} == wanted
    assert {each.recipe for each in found} == {"palettize-2", "palettize-4"}


def test_the_interpreter_agrees_with_the_measurement(
    bench: Bench, package: CoreMLPackage, drawn: Sequence[Trajectory], module: Denoise, tmp_path: Path
) -> None:
    """The SNR of one step of the compressed package is that of the module with decoded weights."""
    layers = list(bench.layers.values())
    plan = uniform_recipes(layers, find_recipe("palettize-2"))
    out = tmp_path / "out.mlpackage"
    compress_package(package.path, out, uniform_plan("denoise", layers, find_recipe("palettize-2")))
    trajectory = drawn[0]
    arrays = {
        "latents": trajectory.states[:1],
        "step": np.array([0], np.int32),
        **trajectory.contexts,
        "guidance": np.array([trajectory.guidance], np.float32),
    }
    (latents,) = Program.open(out).run(None, **arrays).values()  # type: ignore[arg-type]
    with bench.compressed(plan), torch.inference_mode():
        expected = module(**{name: torch.from_numpy(array) for name, array in arrays.items()}).numpy()
    error, distance = (np.square(each - expected).sum() for each in (latents, trajectory.states[1:2]))
    assert error < 1e-3 * distance, "rounding of activations is far below the error of 2 bits"


def test_weights_of_another_checkpoint_are_refused(bench: Bench, package: CoreMLPackage, tiny_model: Model) -> None:
    torch.manual_seed(1)
    other = torch.nn.Linear(64, 64)
    with pytest.raises(ExportError, match=r"expected weights of the checkpoint, got \w+ \([\d, ]+\), which is none"):
        Bench(cast(Denoise, other), package, layers_of(package), bench.states)


def test_inputs_beside_golden_vectors_are_recorded_ones(
    coreml_folder: Path,
    drawn: Sequence[Trajectory],
    settings: DrawSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index = write_golden(tmp_path, drawn)
    (tmp_path / "manifest.json").touch()
    manifest = SimpleNamespace(golden=index)
    bundle = SimpleNamespace(path=tmp_path, manifest=manifest, settings=lambda: settings)
    monkeypatch.setattr("export.studies.bits.outputs.open_bundle", lambda path, verify: bundle)
    results = {
        "encode_text": drawn[0].contexts["context"],
        "denoise": drawn[0].states[5:6],
        "decode_image": drawn[0].image,
    }
    for stage, wanted in results.items():
        arrays, said = inputs_for(tmp_path / f"{stage}.mlpackage")
        (got,) = Program.open(coreml_folder / f"{stage}.mlpackage").run(None, **arrays).values()
        assert said.startswith("golden vectors of") and said.endswith(str(CASES[0]))
        assert snr_db(wanted, got) > 40
