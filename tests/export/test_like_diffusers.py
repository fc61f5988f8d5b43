"""Exported bundles draw what diffusers' own pipelines draw: the one judge that shares no formula with the export."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.checkpoints.against_diffusers import PROMPT, SEED, Asked, Drawing, their_drawing
from export.artists.artist import bundle_artist
from export.bundle.bundle import Bundle
from export.job.plan import plan_export
from export.job.run import run_export
from export.parity.trajectories import Case
from export.targets import TARGETS
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.drawing import Start, draw
from mobile_diffusion.formats.open_options import OpenOptions
from tests.attentive import NAME, SCALES, STARTS, write_attentive

STEPS = 4
Exported = tuple[Path, Bundle]
"""A checkpoint in diffusers' format, and its bundle."""
Export = Callable[..., Exported]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """`exported(solver, guidance, runtime, prediction)`: a checkpoint and its bundle for one runtime, made once."""
    checkpoints: dict[str, Path] = {}
    made: dict[tuple[str, float, str, str], Exported] = {}

    def export(solver: str, guidance: float = 7.5, runtime: str = "onnx", prediction: str = "epsilon") -> Exported:
        key = (solver, guidance, runtime, prediction)
        if prediction not in checkpoints:
            checkpoints[prediction] = write_attentive(tmp_path_factory.mktemp("checkpoint") / "folder", prediction)
        if key not in made:
            options = OpenOptions(steps=STEPS, solver=solver, spacing="trailing", guidance=guidance)
            model, target = open_checkpoint(checkpoints[prediction], options), TARGETS["android"]
            plan = plan_export(model.config, target, (runtime,), images=True, threads=1)
            out = tmp_path_factory.mktemp("bundles") / "bundle"
            cases = (Case("a red apple", 7),)
            made[key] = checkpoints[prediction], run_export(model, target, out, cases=cases, plan=plan).bundle
        return made[key]

    return export


def drawn(bundle: Bundle, scale: float, negative: str = "", start: Start | None = None) -> Drawing:
    """The bundle's drawing with its own runtime."""
    artist, seen = bundle_artist(bundle, None, 1), list[np.ndarray]()
    arguments = (artist.run_stage, artist.tokenizer, artist.settings, PROMPT, SEED, scale)
    image = draw(*arguments, lambda _, latents: seen.append(latents), negative, start)
    return seen, image


def assert_like_diffusers(exported: Exported, scale: float, negative: str, kind: str, solver: str) -> None:
    """Last latents within 1e-4 of their largest value, pixels within half a level, to which ours are rounded."""
    (folder, bundle), start = exported, STARTS[kind]
    latents, image = drawn(bundle, scale, negative, start)
    theirs = their_drawing(folder, NAME, start, STEPS, Asked(scale, negative, solver), latents[0].shape)
    assert np.abs(latents[-1] - theirs[0][-1]).max() < 1e-4 * np.abs(theirs[0][-1]).max()
    assert np.abs(image - theirs[1]).max() <= 0.5 + 1e-2
    assert theirs[1].std() > 2.5


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("scale", SCALES)
def test_every_guidance_scale(kind: str, scale: float, exported: Export) -> None:
    found = exported("ddim")
    assert found[1].settings().guidance_kind == "cfg"
    assert_like_diffusers(found, scale, "blurred", kind, "ddim")


@pytest.mark.full
@pytest.mark.parametrize("kind", STARTS)
def test_a_bundle_without_guidance(kind: str, exported: Export) -> None:
    found = exported("ddim", guidance=0.0)
    assert found[1].settings().guidance_kind == "none"
    assert_like_diffusers(found, 0.0, "blurred", kind, "ddim")


@pytest.mark.full
@pytest.mark.parametrize("scale", [0.0, 7.5])
@pytest.mark.parametrize(
    ("solver", "runtime", "prediction"),
    [
        ("euler", "onnx", "epsilon"),
        ("lcm", "onnx", "epsilon"),
        ("ddim", "onnx", "v_prediction"),
        ("ddim", "xnnpack", "epsilon"),
    ],
)
@pytest.mark.parametrize("kind", STARTS)
def test_every_solver_prediction_and_runtime(
    kind: str, solver: str, runtime: str, prediction: str, scale: float, exported: Export
) -> None:
    found = exported(solver, runtime=runtime, prediction=prediction)
    assert_like_diffusers(found, scale, "", kind, solver)


@pytest.mark.full
@pytest.mark.parametrize("scale", [0.0, 7.5])
@pytest.mark.parametrize("solver", ["pndm", "dpm-solver++"])
def test_solvers_that_remember(solver: str, scale: float, exported: Export) -> None:
    assert_like_diffusers(exported(solver), scale, "", "text", solver)
