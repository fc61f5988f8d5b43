"""A folder that is a phone, and programs named adb and xcrun that reach it."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
TIMES: dict[str, Any] = {
    "conditions": {
        "processor": "Tensor G3",
        "cores": 9,
        "system": "Android 14 aarch64",
        "load": None,
        "thermal": "light",
    },
    "runners": [
        {
            "runner": "xnnpack",
            "kind": "runtime",
            "version": "1.5.1",
            "threads": 4,
            "stages": [
                {
                    "stage": stage,
                    "median_ms": median,
                    "first_quartile_ms": median - 1,
                    "third_quartile_ms": median + 2,
                    "runs": 10,
                    "spread_ms": 3.0,
                }
                for stage, median in (("encode_text", 4.0), ("denoise", 20.0), ("decode_image", 12.0))
            ],
        }
    ],
}
"""Made up, in the form that the apps write."""

Faults = Callable[..., None]


def link(folder: Path, name: str, script: str) -> None:
    """A program of that name in `folder`."""
    (folder / name).write_text(f'#!/bin/sh\nexec {shlex.join((sys.executable, str(HERE / script)))} "$@"\n')
    (folder / name).chmod(0o755)


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder; adb and xcrun on the PATH reach it, and nobody waits long for it."""
    folder = tmp_path / "phone"
    for part in ("app/files", "tmp", "path"):
        (folder / part).mkdir(parents=True)
    (folder / "benchmark.json").write_text(json.dumps(TIMES))
    link(folder / "path", "adb", "fake_adb.py")
    link(folder / "path", "xcrun", "fake_xcrun.py")
    monkeypatch.setenv("PATH", f"{folder / 'path'}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_PHONE", str(folder))
    monkeypatch.setattr("export.device.phone.POLL_S", 0.01)
    monkeypatch.setattr("export.device.pieces.SMALL", 50_000)  # so that the tests' programs travel alone
    (folder / "faults.json").write_text("{}")
    return folder


@pytest.fixture
def faults(phone: Path) -> Faults:
    """Says what goes wrong on the phone."""
    return lambda **given: (phone / "faults.json").write_text(json.dumps(given)) and None
