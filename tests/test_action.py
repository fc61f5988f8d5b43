"""action.yml: every step's script is run as GitHub would, on a tiny checkpoint in a repository with a main branch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mobile_diffusion.checkpoint import Model, save_checkpoint

ROOT = Path(__file__).parents[1]
ACTION: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"] if "run" in step}
BASELINE = "baselines/android.json"


class Job:
    """A checkout with an origin, and the inputs of the action."""

    def __init__(self, folder: Path, inputs: dict[str, str]) -> None:
        self.checkout, self.summary = folder / "checkout", folder / "summary.md"
        self.inputs = {name: values.get("default", "") for name, values in ACTION["inputs"].items()} | inputs
        origin, tools = folder / "origin", folder / "bin"
        tools.mkdir()
        command = tools / "mobile-diffusion"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m export.cli.main "$@"\n')
        command.chmod(0o755)
        self.path = f"{tools}:{os.environ['PATH']}"
        self.git(folder, "init", "--quiet", "--initial-branch=main", str(origin))
        self.commit(origin, "first")
        self.git(folder, "clone", "--quiet", f"file://{origin}", str(self.checkout))
        self.origin = origin

    def git(self, folder: Path, *words: str) -> None:
        author = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(("git", *author, *words), cwd=folder, check=True)

    def commit(self, folder: Path, message: str) -> None:
        self.git(folder, "add", "--all")
        self.git(folder, "commit", "--quiet", "--allow-empty", "--message", message)

    def step(self, name: str) -> subprocess.CompletedProcess[str]:
        """Run the script of a step as GitHub's runner does: bash -eo pipefail, with the step's environment."""
        step = STEPS[name]
        values = {key: self.filled(text) for key, text in step.get("env", {}).items()}
        environment = {
            **os.environ,
            **values,
            "PATH": self.path,
            "PYTHONPATH": str(ROOT),
            "GITHUB_ACTIONS": "true",
            "GITHUB_STEP_SUMMARY": str(self.summary),
        }
        words = ("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"])
        return subprocess.run(words, cwd=self.checkout, env=environment, capture_output=True, text=True)

    def filled(self, text: str) -> str:
        """An expression of GitHub's, as far as the action uses them."""
        known = {f"inputs.{name}": value for name, value in self.inputs.items()} | {"github.action_path": str(ROOT)}
        return re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda match: known[match[1]], text)


@pytest.fixture(scope="module")
def job(tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("action")
    save_checkpoint(tiny_model, folder / "tiny")
    inputs = {"checkpoint": str(folder / "tiny"), "target": "android", "arguments": "--runtime onnx --threads 1"}
    return Job(folder, inputs | {"baseline": BASELINE, "out": "a-bundle"})


def run(job: Job, name: str) -> str:
    done = job.step(name)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.full
def test_a_branch_without_a_baseline_then_with_one_then_with_a_better_one(job: Job) -> None:
    run(job, "Export")
    assert f"main has no {BASELINE} yet" in run(job, "Baseline of the main branch")
    assert "all gates passed" in " ".join(run(job, "Verify").split())
    written = job.checkout / "a-bundle.baseline.json"
    run(job, "Summary")
    text = job.summary.read_text(encoding="utf-8")
    assert "# tiny for Android" in text and "Parity with PyTorch" in text and "pipeline_tag" not in text
    assert (job.checkout / "a-bundle.junit.xml").is_file()

    place = job.origin / BASELINE
    place.parent.mkdir()
    place.write_bytes(written.read_bytes())
    job.commit(job.origin, "baseline")
    run(job, "Baseline of the main branch")
    assert (job.checkout / "a-bundle.main.json").read_bytes() == written.read_bytes()
    run(job, "Verify")

    better = json.loads(written.read_text())
    better["programs"][0]["bytes"] //= 2
    place.write_text(json.dumps(better))
    job.commit(job.origin, "a baseline that is never reached")
    run(job, "Baseline of the main branch")
    failed = job.step("Verify")
    assert failed.returncode != 0 and "encode_text" in failed.stdout
    run(job, "Summary")
    assert failed.stdout.strip().splitlines()[-1] in job.summary.read_text(encoding="utf-8")


def test_a_failed_export_still_has_a_summary(job: Job) -> None:
    before = job.inputs["out"], job.inputs["checkpoint"]
    job.inputs |= {"out": "none", "checkpoint": "nowhere/at-all"}
    failed = job.step("Export")
    assert failed.returncode != 0 and "Traceback" not in failed.stderr
    run(job, "Summary")
    assert "# none" in job.summary.read_text(encoding="utf-8")
    job.inputs["out"], job.inputs["checkpoint"] = before


def test_the_installation_names_files_and_extras_that_exist() -> None:
    script = STEPS["Install"]["run"]
    assert "requirements.lock" in script and (ROOT / "requirements.lock").is_file()
    assert "$HERE[export]" in script and "\nexport = [" in (ROOT / "pyproject.toml").read_text()


def test_inputs_reach_scripts_by_their_environment_alone() -> None:
    """An expression inside a script would run what a pull request wrote into it."""
    assert not [name for name, step in STEPS.items() if "${{" in step["run"]]
