"""The model in assets/emoji as `make demo` exports it: every gate, and the bundle opened and verified again."""

from __future__ import annotations

from pathlib import Path

import pytest

from export.job.run import run_export
from export.targets import TARGETS
from export.verify import verify_bundle
from mobile_diffusion.checkpoint import open_checkpoint

EMOJI = Path(__file__).parents[2] / "assets" / "emoji"


@pytest.mark.full
@pytest.mark.parametrize("target", TARGETS)
def test_the_emoji_model_passes_every_gate(target: str, tmp_path: Path) -> None:
    exported = run_export(open_checkpoint(EMOJI), TARGETS[target], tmp_path / target)
    exported.parity.require()
    assert {row.runtime for row in exported.parity.rows()} == set(TARGETS[target].defaults)
    verify_bundle(tmp_path / target, checkpoint=EMOJI).require()
