"""Recorded drawings that were changed, and files that the C++ runner cannot read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from assets.golden.manifests import at, changed
from tests.apps.golden import GOLDEN, golden
from tests.apps.runner.probe import ask

pytestmark = pytest.mark.usefixtures("built")


def write(recorded: dict[str, Any], folder: Path) -> str:
    """A changed trajectory, in a folder from which its tokenizer is found."""
    (folder / "assets" / "golden" / "trajectories").mkdir(parents=True)
    for name in ("emoji", "golden/tokenizers"):
        (folder / "assets" / name).symlink_to(GOLDEN.parent / name)
    path = folder / "assets" / "golden" / "trajectories" / "changed.json"
    path.write_text(json.dumps(recorded))
    return str(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda values: values["request"].update(seed="8"), "call 3"),
        (lambda values: values["request"].update(guidance=4.25), "call 3"),
        (lambda values: values["request"].update(prompt="a red apple"), "call 1"),
        (lambda values: values["request"].update(negative=""), "call 2"),
        (lambda values: values["calls"].pop(), "call 11"),
        (lambda values: values["calls"][5]["inputs"].pop("guidance"), "call 6"),
    ],
    ids=["seed", "guidance", "prompt", "negative", "calls", "input"],
)
def test_another_drawing_is_noticed(change: Any, message: str, tmp_path: Path) -> None:
    recorded = golden("trajectories/ddim.json")
    change(recorded)
    (answer,) = ask([{"replay": write(recorded, tmp_path)}])
    assert f"{message}: expected" in answer["error"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected JSON"),
        ("[]", "expected an object"),
        ('{"weights": [[1], [1], [1]]}', "bias"),
        ('{"weights": [[1], [1], [1]], "bias": [1, 2, 3]}', "a number for each of 4 channels"),
        ('{"weights": [[1, 2, 3, 4]], "bias": [1, 2, 3]}', "weights: expected 3 lists"),
        ('{"weights": [[1, 2, 3, 4], "x", [1, 2, 3, 4]], "bias": [1, 2, 3]}', "weights: expected a list"),
        ('{"weights": [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, "4"]], "bias": [1, 2, 3]}', "a list of numbers"),
        ('{"weights": [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]], "bias": [1, 2]}', "bias: expected 3 numbers"),
        ('{"weights": [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]], "bias": [1, 2, 1e999]}', "expected JSON"),
        ('{"weights": [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4]], "bias": [1, 2, 3], "x": 1}', "known fields"),
    ],
)
def test_a_file_that_is_no_preview(text: str, message: str) -> None:
    (answer,) = ask([{"preview": text, "channels": 4}])
    assert message in answer["error"] and "\n" not in answer["error"]


def test_a_size_beyond_64_bits() -> None:
    texts = [json.dumps(changed(at("files", 0, "size", put=size))) for size in (2**63, 2**70)]
    answers = ask([{"manifest": text} for text in texts])
    assert all("size: expected a whole number" in answer["error"] for answer in answers)


def test_a_manifest_that_is_nested_very_deep() -> None:
    (answer,) = ask([{"manifest": "[" * 100_000}])
    assert "expected JSON" in answer["error"]


def test_hashes_of_every_length_around_a_block() -> None:
    texts = ["ab" * length + "c" for length in range(70)] + ["", "x" * 1_000_000]
    assert ask([{"sha256": text} for text in texts]) == [hashlib.sha256(text.encode()).hexdigest() for text in texts]
