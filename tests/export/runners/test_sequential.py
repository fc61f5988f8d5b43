"""One stage in memory at a time."""

from __future__ import annotations

import ctypes

import numpy as np
import psutil
import pytest

from export.runners.sequential import SequentialRunner, release


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


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library cannot give memory back")
def test_a_dropped_stage_gives_its_memory_back() -> None:
    """Blocks of 64 KiB come from the heap, and the last one of them keeps it from shrinking by itself."""
    resident = psutil.Process().memory_info
    blocks: list[ctypes.Array[ctypes.c_char]] = []

    class Heavy(Echo):
        def __init__(self, stage: str) -> None:
            super().__init__(stage)
            made = [ctypes.create_string_buffer(b"x" * 65535) for _ in range(3200)]  # 210 MB
            self.blocks, blocks[:] = made, made[-1:]

    runner = SequentialRunner("echo", 1, Heavy)
    runner.run("denoise")
    before = resident().rss
    runner.close()
    assert before - resident().rss > 150e6


def test_only_a_sequential_runner_is_released() -> None:
    runner, plain = SequentialRunner("echo", 1, Echo), Echo("denoise")
    runner.run("denoise")
    release(runner)
    release(plain)
    assert runner._runner is None and plain.run("denoise") == {}
