"""The golden vectors: is the list of cases the fixed one, and does what can be recomputed agree?

Prompts, seeds and strengths are constants of this program.  The bundle's own tokenizer encodes the prompts again, and
the seed's noise is drawn again.  Contexts, states and pictures come from PyTorch: with the checkpoint they are made
again (verify.py), and without it the programs are compared with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from export.bundle.adapter_files import read_adapters
from export.bundle.bundle import Bundle
from export.evidence.difference import Difference
from export.parity.golden import INDEX
from export.parity.record import golden_adapters, golden_hints
from export.parity.trajectories import CASES, Case, Trajectory, chosen_cases, joined, redrawn_case
from mobile_diffusion.adapters import Adapters
from mobile_diffusion.drawing import DrawSettings, skipped_steps, text_inputs
from mobile_diffusion.errors import MobileDiffusionError

CHECK = "golden vectors"


def expected_cases(bundle: Bundle, depth: str, cases: Sequence[Case] = CASES) -> list[Case]:
    """The cases that an export of this depth records, in order (job/reference.py)."""
    chosen = chosen_cases(cases, depth, bundle.settings())
    if any(stage.name == "encode_image" for stage in bundle.manifest.stages):
        chosen.append(redrawn_case(bundle.settings()))
    return chosen


def check_golden(
    bundle: Bundle, trajectories: Sequence[Trajectory], depth: str, cases: Sequence[Case] = CASES
) -> list[Difference]:
    """Every difference between the golden vectors and what they must be."""
    wanted = expected_cases(bundle, depth, cases)
    found = [trajectory.case for trajectory in trajectories]
    differences = [
        Difference(CHECK, f"{INDEX}: case {number}", _case(wanted, number), _case(found, number))
        for number in range(max(len(wanted), len(found)))
        if _case(wanted, number) != _case(found, number)
    ]
    settings, adapters = bundle.settings(), read_adapters(bundle)
    for number, trajectory in enumerate(trajectories):
        place = f"golden/{number}"
        differences += _check_inputs(bundle, settings, trajectory, place)
        differences += _check_hints(settings, trajectory, place)
        differences += _check_adapters(settings, adapters, trajectory, place)
        differences += _check_beginning(settings, trajectory, place)
        differences += _check_steps(settings, trajectory, depth, place)
    return differences


def _case(cases: Sequence[Case], number: int) -> str:
    return repr(cases[number]) if number < len(cases) else "nothing"


def _check_inputs(bundle: Bundle, settings: DrawSettings, trajectory: Trajectory, place: str) -> Iterator[Difference]:
    """The prompt's tokens, by the tokenizer in the bundle."""
    try:
        made: Mapping[str, Any] = text_inputs(bundle.tokenizer(), settings, trajectory.case.prompt)
    except MobileDiffusionError as error:
        yield Difference(CHECK, bundle.manifest.tokenizer.files[0], "a tokenizer that encodes the prompt", str(error))
        return
    kept = trajectory.prompts
    names = {(context, name) for each in (made, kept) for context in each for name in each[context]}
    for context, name in sorted(names):
        wanted, found = (each.get(context, {}).get(name) for each in (made, kept))
        if not _same(wanted, found):
            tokens = bundle.manifest.tokenizer.files[0]
            where = f"{place}: {name} of {context}"
            yield Difference(CHECK, where, f"{_shown(wanted)} by {tokens}", _shown(found))


def _check_hints(settings: DrawSettings, trajectory: Trajectory, place: str) -> Iterator[Difference]:
    """The hints of ControlNets, and their scales, are constants of this program."""
    for name, wanted in zip(("hints", "hint_scales"), golden_hints(settings), strict=True):
        found = getattr(trajectory, name)
        if not (wanted is None and found is None) and not _same(wanted, found):
            yield Difference(CHECK, f"{place}: {name}", "nothing" if wanted is None else "the fixed ones", "others")


def _check_adapters(
    settings: DrawSettings, adapters: Adapters | None, trajectory: Trajectory, place: str
) -> Iterator[Difference]:
    """The factors are those of the bundle's adapters, and their scales are constants of this program."""
    for name, wanted in zip(("adapters", "adapter_scales"), golden_adapters(settings, adapters), strict=True):
        found = getattr(trajectory, name)
        if not (wanted is None and found is None) and not _same(wanted, found):
            yield Difference(CHECK, f"{place}: {name}", "nothing" if wanted is None else "the bundle's own", "others")


def _check_beginning(settings: DrawSettings, trajectory: Trajectory, place: str) -> Iterator[Difference]:
    """Guidance, the step to start with, and the latents in front of it: noise, or the noised picture."""
    if trajectory.guidance != settings.guidance:
        wanted = f"guidance {settings.guidance}, the manifest's"
        yield Difference(CHECK, place, wanted, str(trajectory.guidance))
    try:
        skipped = skipped_steps(settings, trajectory.case.strength)
        begin = joined(trajectory.begin(settings, trajectory.encoded))
    except MobileDiffusionError as error:
        yield Difference(CHECK, place, "a case that can be drawn", str(error))
        return
    if trajectory.skipped != skipped:
        yield Difference(CHECK, place, f"first_step {skipped}", str(trajectory.skipped))
    elif not _same(begin, trajectory.states[:1]):
        yield Difference(CHECK, f"{place}: states", "the seed's noise in front of the first step", "other latents")


def _check_steps(settings: DrawSettings, trajectory: Trajectory, depth: str, place: str) -> Iterator[Difference]:
    """All steps are there (depth "trajectory"), or exactly one."""
    wanted = 1 if depth == "step" else len(settings.rows(trajectory.skipped))
    if trajectory.steps != wanted:
        yield Difference(CHECK, f"{place}: states", f"{wanted} steps", str(trajectory.steps))
    if trajectory.image.shape != tuple(settings.image_shape):
        yield Difference(CHECK, f"{place}: image", str(tuple(settings.image_shape)), str(trajectory.image.shape))


def _same(wanted: Any, found: Any) -> bool:
    return wanted is not None and found is not None and wanted.shape == found.shape and np.array_equal(wanted, found)


def _shown(tokens: Any) -> str:
    return "nothing" if tokens is None else str(np.asarray(tokens).reshape(-1).tolist())
