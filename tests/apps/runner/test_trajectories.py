"""Recorded drawings in C++: the same calls with the same inputs, the same picture and previews; what spoils them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.apps.conftest import GOLDEN, TRAJECTORIES, golden
from tests.apps.runner.conftest import Ask


def write(recorded: dict[str, Any], folder: Path) -> str:
    """A changed trajectory, in a folder from which its tokenizer is found."""
    (folder / "assets" / "golden" / "trajectories").mkdir(parents=True)
    for name in ("emoji", "golden/tokenizers"):
        (folder / "assets" / name).symlink_to(GOLDEN.parent / name)
    path = folder / "assets" / "golden" / "trajectories" / "changed.json"
    path.write_text(json.dumps(recorded))
    return str(path)


@pytest.mark.parametrize("name", TRAJECTORIES)
def test_the_calls_and_the_pictures_are_the_recorded_ones(name: str, ask: Ask) -> None:
    recorded = golden(f"trajectories/{name}.json")
    (answer,) = ask([{"replay": str(GOLDEN / "trajectories" / f"{name}.json")}])
    assert answer["picture"] == recorded["picture"]
    assert answer["previews"] == recorded.get("preview", {"pictures": []})["pictures"]
    assert answer["calls"] == len(recorded["calls"])


@pytest.mark.parametrize(
    ("spoil", "message"),
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
def test_another_drawing_is_noticed(spoil: Any, message: str, ask: Ask, tmp_path: Path) -> None:
    recorded = golden("trajectories/ddim.json")
    spoil(recorded)
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
def test_what_is_no_preview(text: str, message: str, ask: Ask) -> None:
    (answer,) = ask([{"preview": text, "channels": 4}])
    assert message in answer["error"] and "\n" not in answer["error"]
