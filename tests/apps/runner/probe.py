"""Questions to the C++ probe, apps/runner/tests/probe.cpp: the runner's parts one by one, and the golden files."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from platform import machine
from typing import Any

import pytest

from tests.apps.golden import ADAPTERS, GOLDEN, HINTS, TOKENS, TRAJECTORIES, WEIGHTED, golden

BUILT = Path(__file__).parents[3] / "apps" / "runner" / "build" / machine()

Questions = Sequence[Mapping[str, Any]]


def ask(questions: Questions, environment: Mapping[str, str] | None = None) -> list[Any]:
    """The probe's answers; it follows the locale that LC_ALL names in `environment`."""
    changed = environment or {}
    opening = [{"locale": changed["LC_ALL"]}] if "LC_ALL" in changed else []
    lines = "".join(json.dumps(question) + "\n" for question in [*opening, *questions])
    done = subprocess.run(
        [BUILT / "probe"], input=lines, capture_output=True, text=True, check=True, env={**os.environ, **changed}
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if opening:
        point = "." if changed["LC_ALL"].startswith("ar") else ","
        assert answers.pop(0) == point, "the locale is not in force"
    return answers


def check_golden(checks: Sequence[str], environment: Mapping[str, str]) -> None:
    """Compare the C++ runner with the golden files of these kinds."""
    for check in checks:
        CHECKS[check](partial(ask, environment=environment))


def encode(ask: Any, values: dict[str, Any], prompts: Sequence[str]) -> list[dict[str, Any]]:
    """The runner's tokens for prompts, with the tokenizer of a golden file."""
    opening = {"tokenizer": [values["kind"], values["max_tokens"], str(GOLDEN / values["tokenizer"])]}
    opened, *answers = ask([opening, *({"prompt": prompt} for prompt in prompts)])
    assert opened == {}
    return answers


def _tokens(ask: Any) -> None:
    for name in TOKENS:
        values = golden(name)
        cases, refused, length = values["cases"], values["refused"], values["max_tokens"]
        for case, answer in zip(cases, encode(ask, values, [case["prompt"] for case in cases]), strict=True):
            count = len(case["ids"])
            padding = [values["padding"]] * (length - count)
            mask = [1] * count + [0] * (length - count)
            expected = {"ids": case["ids"] + padding, "mask": mask, "known": case.get("known", True)}
            assert answer == expected, ascii(case["prompt"])
        for case, answer in zip(refused, encode(ask, values, [case["prompt"] for case in refused]), strict=True):
            assert case["message"] in answer["error"]


def _prompts(ask: Any) -> None:
    values = golden("prompts.json")
    opening = {"tokenizer": [values["kind"], values["max_tokens"], str(GOLDEN / values["tokenizer"])]}
    cases = [{"windows": 1} | case for case in (*values["cases"], *values["refused"])]
    questions = [{name: case[name] for name in ("prompt", "syntax", "windows")} for case in cases]
    opened, *answers = ask([opening, *questions])
    assert opened == {}
    for case, answer in zip(cases, answers, strict=True):
        if "message" in case:
            assert case["message"] in answer["error"]
            continue
        assert [answer["cut"], answer["empty"]] == [case["cut"], case["empty"]]
        for version, expected in zip(answer["versions"], case["versions"], strict=True):
            assert version["share"] == pytest.approx(expected["share"], rel=1e-12)
            lengths = [sum(window["mask"]) for window in version["windows"]]
            found = [
                {name: window[name][:length] for name in ("ids", "weights")}
                for window, length in zip(version["windows"], lengths, strict=True)
            ]
            assert found == expected["windows"], ascii(case["prompt"])
            rest = [weight for window in version["windows"] for weight in window["weights"][sum(window["mask"]) :]]
            assert set(rest) <= {1}


def _noise(ask: Any) -> None:
    values = golden("noise.json")
    deviates = ask([{"noise": [case["seed"], case["count"], case["tensor"]]} for case in values["gaussian"]])
    assert deviates == [case["sha256"] for case in values["gaussian"]]
    cases = [{name: [int(word, 16) for word in case[name]] for name in case} for case in values["philox"]]
    words = ask([{"philox": [case["key"], case["counter"]]} for case in cases])
    assert words == [case["words"] for case in cases]


def _manifests(ask: Any) -> None:
    values = golden("manifests.json")
    accepted, refused = values["accepted"], values["refused"]
    assert ask([{"manifest": case["text"]} for case in accepted]) == [{}] * len(accepted)
    for case, answer in zip(refused, ask([{"manifest": case["text"]} for case in refused]), strict=True):
        line = answer["error"]
        assert case["message"] in line and "expected" in line and "\n" not in line, (case["name"], line)


def _trajectories(ask: Any) -> None:
    for name in (*TRAJECTORIES, *WEIGHTED, *HINTS, *ADAPTERS):
        recorded = golden(f"trajectories/{name}.json")
        (answer,) = ask([{"replay": str(GOLDEN / "trajectories" / f"{name}.json")}])
        assert answer["picture"] == recorded["picture"]
        assert answer["previews"] == recorded.get("preview", {"pictures": []})["pictures"]
        assert answer["calls"] == len(recorded["calls"])


CHECKS = {
    "tokens": _tokens,
    "prompts": _prompts,
    "noise": _noise,
    "manifests": _manifests,
    "trajectories": _trajectories,
}
