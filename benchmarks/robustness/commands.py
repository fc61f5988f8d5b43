"""The commands that are disturbed, on inputs so small that each takes seconds, and what a whole output of each is."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from assets.golden.models import SMALL
from benchmarks.paths import EMOJI
from benchmarks.robustness.packages import publish_tiny
from export.bundle.bundle import check_replaceable, open_bundle
from export.job import run as job
from export.onnx import lower as onnx
from export.stages import build_stages
from mobile_diffusion.checkpoint import open_checkpoint, save_checkpoint, untrained_model
from mobile_diffusion.data import load_dataset
from mobile_diffusion.errors import MobileDiffusionError
from mobile_diffusion.staging import staged_folder
from mobile_diffusion.tokenization.tokenizer import open_tokenizer
from mobile_diffusion.training.curve import CURVE

EXPORTS = {"onnx": "android", "xnnpack": "android", "coreml": "ios", "coreai": "ios"}
"""Runtime -> target."""
MEASURED = ("latency.json", "report.html", "manifest.json")
"""Files of a bundle that two exports do not have in common."""
DECODER = """
styles = ["3d"]
latents = 4
held_out = 2
sampling_batch = 2
[loop]
steps = 4
batch = 2
learning_rate = 1e-3
warmup = 1
save_every = 1
sheet_every = 2
log_every = 1
"""


@dataclass(frozen=True)
class Command:
    """One command; its outputs are in a folder of their own, the place."""

    name: str
    words: Callable[[Path], list[str]]
    """Place -> what follows `mobile-diffusion`."""
    digest: Callable[[Path], str]
    """What is equal for equal finished outputs in a place, "" for none; raises an error of ours for half an output."""
    sweep: Callable[[Path], None]
    """Do in a place what the next run does first."""
    prepare: Callable[[], object] = lambda: None
    """Called in the command's process."""
    resumes: bool = False
    """Whether the next run goes on where one was killed."""


def commands(work: Path) -> dict[str, Callable[[], Command]]:
    """Name -> what makes the command, and its inputs in `work`."""
    model = work / "model"
    torch.manual_seed(0)
    tokenizer = open_tokenizer("wordpiece", EMOJI / "tokenizer.json", SMALL.text.max_tokens)
    save_checkpoint(untrained_model(SMALL, tokenizer), model, overwrite=True)
    exports = {f"export, {name}": partial(_export, name, target, model) for name, target in EXPORTS.items()}
    return {
        **exports,
        "data fetch": partial(_fetch, work / "registry"),
        "train decoder": partial(_train, model, work / "training"),
    }


def hidden(place: Path) -> list[str]:
    """Temporary files in a place."""
    return sorted(path.name for path in place.rglob(".*"))


def _empty(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _convert_for_onnx(model: Path) -> dict[str, Any]:
    """Stage -> its ONNX program, which takes most of an export's time and writes nothing: every fork takes these."""
    return {stage.name: onnx.convert(stage) for stage in build_stages(open_checkpoint(model)).values()}


def _export(runtime: str, target: str, model: Path) -> Command:
    converted = _convert_for_onnx(model) if runtime == "onnx" else {}

    def prepare() -> None:
        job.BUDGET_S = 0.3  # measure latency for a moment only
        onnx.convert = lambda stage: converted[stage.name]  # type: ignore[assignment]

    def words(place: Path) -> list[str]:
        choices = ("--runtime", runtime, "--check", "step", "--threads", "1", "--json", "--force")
        return ["export", target, str(model), *choices, "--out", str(place / "out")]

    def digest(place: Path) -> str:
        if not os.path.lexists(place / "out"):
            return ""
        found = open_bundle(place / "out").manifest.files
        return _hash(*(f"{each.path} {each.sha256}" for each in found if each.path not in MEASURED))

    def sweep(place: Path) -> None:
        try:
            with staged_folder(place / "out", replace=check_replaceable):
                raise InterruptedError
        except InterruptedError:
            return

    return Command(f"export, {runtime}", words, digest, sweep, prepare)


def _fetch(folder: Path) -> Command:
    registry = publish_tiny(_empty(folder))

    def prepare() -> None:
        os.environ["PATH"] = f"{registry.tools}{os.pathsep}{os.environ['PATH']}"
        for module, name, value in registry.tables:
            setattr(module, name, value)
        from mobile_diffusion.data import emoji_packages

        emoji_packages.STYLES.update({style.name: style for style in registry.styles})

    def words(place: Path) -> list[str]:
        return ["data", "fetch", "--out", str(place / "out"), "--style", "3d", "--style", "flat"]

    def digest(place: Path) -> str:
        if not (place / "out" / "dataset.jsonl").exists():
            return ""
        load_dataset(place / "out")
        return _hash(*_contents(place))

    return Command("data fetch", words, digest, lambda place: None, prepare, resumes=True)


def _train(model: Path, data: Path) -> Command:
    settings = _empty(data) / "decoder.toml"
    settings.write_text(DECODER, encoding="utf-8")
    row = {
        "id": "3d/1F34E",
        "style": "3d",
        "hexcode": "1F34E",
        "emoji": "x",
        "label": "red apple",
        "keywords": ["fruit"],
    }
    row |= {"group": "food", "family": "apple", "split": "train", "package": "drawn", "version": "1", "licence": "MIT"}
    (data / "dataset.jsonl").write_text(json.dumps(row | {"image": "none.png"}) + "\n", encoding="utf-8")

    def words(place: Path) -> list[str]:
        places = ("--run", str(place / "run"), "--out", str(place / "out"), "--data", str(data))
        return ["train", "decoder", str(settings), "--model", str(model), *places, "--threads", "1"]

    def digest(place: Path) -> str:
        if not os.path.lexists(place / "out"):
            return ""
        return _hash(*_contents(place))

    return Command("train decoder", words, digest, lambda place: None, partial(torch.set_num_threads, 1), resumes=True)


def _contents(place: Path) -> list[str]:
    """Path and hash of every file; of a curve, its losses without the speeds."""
    found = []
    for path in sorted(each for each in place.rglob("*") if each.is_file()):
        content = path.read_bytes()
        if path.name == CURVE:
            rows = [json.loads(line) for line in content.splitlines()]
            content = json.dumps([(each["step"], each["loss"]) for each in rows]).encode()
        found.append(f"{path.relative_to(place).as_posix()} {hashlib.sha256(content).hexdigest()}")
    return found


def _hash(*lines: str) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def state(command: Command, place: Path) -> str:
    """The digest, or "half: ..." for an output that is there and cannot be opened."""
    try:
        return command.digest(place)
    except (MobileDiffusionError, OSError, ValueError) as error:
        return f"half: {error}"
