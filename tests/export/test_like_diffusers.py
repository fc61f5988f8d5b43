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
Export = Callable[..., Bundle]


@pytest.fixture(scope="module")
def attentive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_attentive(tmp_path_factory.mktemp("checkpoints") / "attentive")


@pytest.fixture(scope="module")
def exported(attentive: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    """`exported(solver, guidance, runtime)`: the bundle for one runtime, made once."""
    made: dict[tuple[str, float, str], Bundle] = {}

    def export(solver: str, guidance: float = 7.5, runtime: str = "onnx") -> Bundle:
        key = (solver, guidance, runtime)
        if key not in made:
            options = OpenOptions(steps=STEPS, solver=solver, spacing="trailing", guidance=guidance)
            model, target = open_checkpoint(attentive, options), TARGETS["android"]
            plan = plan_export(model.config, target, (runtime,), images=True, threads=1)
            out = tmp_path_factory.mktemp("bundles") / "bundle"
            made[key] = run_export(model, target, out, cases=(Case("a red apple", 7),), plan=plan).bundle
        return made[key]

    return export


def drawn(bundle: Bundle, scale: float, negative: str = "", start: Start | None = None) -> Drawing:
    """The bundle's drawing with its own runtime."""
    artist, seen = bundle_artist(bundle, None, 1), list[np.ndarray]()
    arguments = (artist.run_stage, artist.tokenizer, artist.settings, PROMPT, SEED, scale)
    image = draw(*arguments, lambda _, latents: seen.append(latents), negative, start)
    return seen, image


def assert_like_diffusers(
    folder: Path, bundle: Bundle, scale: float, negative: str, start: Start | None, solver: str
) -> None:
    """Last latents within 1e-4 of their largest value, pixels within half a level, to which ours are rounded."""
    latents, image = drawn(bundle, scale, negative, start)
    theirs = their_drawing(folder, NAME, start, STEPS, Asked(scale, negative, solver), latents[0].shape)
    assert np.abs(latents[-1] - theirs[0][-1]).max() < 1e-4 * np.abs(theirs[0][-1]).max()
    assert np.abs(image - theirs[1]).max() <= 0.5 + 1e-2
    assert theirs[1].std() > 2.5


@pytest.mark.parametrize("kind", STARTS)
@pytest.mark.parametrize("scale", SCALES)
def test_every_guidance_scale(kind: str, scale: float, attentive: Path, exported: Export) -> None:
    bundle = exported("ddim")
    assert bundle.settings().guidance_kind == "cfg"
    assert_like_diffusers(attentive, bundle, scale, "blurred", STARTS[kind], "ddim")


@pytest.mark.parametrize("kind", STARTS)
def test_a_bundle_without_guidance(kind: str, attentive: Path, exported: Export) -> None:
    bundle = exported("ddim", guidance=0.0)
    assert bundle.settings().guidance_kind == "none"
    assert_like_diffusers(attentive, bundle, 0.0, "blurred", STARTS[kind], "ddim")


@pytest.mark.full
@pytest.mark.parametrize("scale", [0.0, 7.5])
@pytest.mark.parametrize(("solver", "runtime"), [("euler", "onnx"), ("lcm", "onnx"), ("ddim", "xnnpack")])
@pytest.mark.parametrize("kind", STARTS)
def test_every_solver_and_runtime(
    kind: str, solver: str, runtime: str, scale: float, attentive: Path, exported: Export
) -> None:
    bundle = exported(solver, runtime=runtime)
    assert_like_diffusers(attentive, bundle, scale, "", STARTS[kind], solver)
