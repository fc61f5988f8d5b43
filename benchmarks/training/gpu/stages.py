"""The stages of the long training, in order: each is one `mobile-diffusion train` command with committed settings.

Paths are relative to the folder of work, whose `data`, `lpips` and `text` come from the parts of the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

SETTINGS = Path(__file__).parent / "settings"
TEACHER_RUN = "runs/teacher"
"""Its encoded pictures and captions serve all later stages: styles, groups and captions are the same."""
MODELS = ("runs/emoji-phone", "runs/emoji-4", "runs/emoji-slim", "runs/emoji-teacher")
"""Checkpoints in the order in which they are returned, the most valuable first."""


@dataclass(frozen=True)
class Stage:
    """One command, which resumes when it was stopped."""

    name: str
    """That of its settings, and of its folder below `runs`."""
    command: tuple[str, ...]
    """What follows `mobile-diffusion train COMMAND SETTINGS`."""
    result: str
    """File that exists when the stage is finished."""
    needs: tuple[str, ...] = ()
    """Folders that a part of the package provides."""
    settings: str = ""
    """Name of its settings, if not its own."""


def _robust(name: str, model: str) -> Stage:
    out = f"runs/emoji-{name}"
    command = ("robust", "--model", model, "--run", f"runs/{name}", "--out", out, "--data", "data")
    return Stage(name, command, f"{out}/model.json")


def _student(name: str, teacher: str, student: str) -> Stage:
    out = f"runs/emoji-{name}"
    places = ("--run", f"runs/{name}", "--out", out, "--data", "data")
    return Stage(name, ("distil", "--teacher", teacher, "--student", student, *places), f"{out}/model.json")


STAGES = (
    Stage(
        "autoencoder",
        ("autoencoder", "--run", "runs/autoencoder", "--data", "data", "--weights", "lpips"),
        "runs/autoencoder/autoencoder.json",
        needs=("data", "lpips"),
    ),
    Stage(
        "teacher",
        (
            *("unet", "--autoencoder", "runs/autoencoder", "--text", "text", "--data", "data"),
            *("--run", TEACHER_RUN, "--out", "runs/emoji-teacher"),
        ),
        "runs/emoji-teacher/model.json",
        needs=("data", "text"),
    ),
    _robust("robust", "runs/emoji-teacher"),
    Stage(
        "evolution",
        (
            *("evolve", "--table", "runs/blocks.json", "--target-ms", "14.8", "--batches", "2"),
            *("--model", "runs/emoji-robust", "--run", "runs/evolution", "--out", "runs/emoji-evolved"),
            *("--data", "data"),
        ),
        "runs/emoji-evolved/model.json",
        settings="robust",
    ),
    _robust("slim", "runs/emoji-evolved"),
    _student("16", "runs/emoji-teacher", "runs/emoji-slim"),
    _student("8", "runs/emoji-slim", "runs/emoji-16"),
    Stage(
        "decoder",
        (
            *("decoder", "--model", "runs/emoji-8", "--run", "runs/decoder", "--out", "runs/emoji-phone"),
            *("--data", "data"),
        ),
        "runs/emoji-phone/model.json",
    ),
    _student("4", "runs/emoji-slim", "runs/emoji-8"),
)
