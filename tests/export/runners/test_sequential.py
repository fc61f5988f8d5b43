"""One stage in memory at a time."""

from __future__ import annotations

import numpy as np

from export.runners.sequential import SequentialRunner


class Echo:
    name, threads = "echo", 1

    def __init__(self, stage: str) -> None:
        self.stage = stage

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        assert stage == self.stage
        return arrays


def test_a_stage_is_loaded_when_it_is_asked_for_and_kept_until_another_is() -> None:
    loaded: list[str] = []

    def load(stage: str) -> Echo:
        loaded.append(stage)
        return Echo(stage)

    runner = SequentialRunner("echo", 1, load)
    for stage in ("encode_text", "encode_text", "denoise", "denoise", "decode_image", "denoise"):
        assert runner.run(stage, x=np.ones(1))["x"] == 1
    assert loaded == ["encode_text", "denoise", "decode_image", "denoise"]
    runner.close()
    runner.run("denoise")
    assert loaded[-2:] == ["denoise", "denoise"]
