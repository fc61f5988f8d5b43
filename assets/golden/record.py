"""Whole drawings of small models: every call of a stage, its inputs (as hashes) and its outputs.

PyTorch computes the stages in float64 and each output is rounded to float32 once: the files are then the same on
every processor, where float32 sums depend on the order of the additions.
"""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from assets.golden.models import MODELS, GoldenModel, Hinted, Redrawn
from assets.golden.sample import file_entries
from export.bundle.adapter_files import write_adapters
from export.bundle.manifest import FORMAT, SCHEMA_VERSION, Manifest, dump_manifest
from export.bundle.manifest_parts import ArtifactEntry, ModelEntry, RuntimeEntry, StageEntry, TokenizerEntry
from export.job.manifest_description import describe_schedule
from export.job.preview import PREVIEW_FILE, Preview
from export.signatures import program_outputs
from export.stages import ExportStage
from mobile_diffusion.drawing import DrawSettings, draw
from mobile_diffusion.tokenization.tokenizer import (
    ClipPairTokenizer,
    ClipTokenizer,
    Tokenizer,
    open_tokenizer,
    tokenizer_files,
)

FOLDER = Path(__file__).resolve().parent
INDEX = "golden/index.json"


class Recorder:
    """Runs the stages of a model and keeps every call."""

    def __init__(self, stages: Mapping[str, ExportStage]) -> None:
        self.stages = stages
        self.calls: list[dict[str, Any]] = []

    def __call__(self, stage: str, /, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        found = self.stages[stage]
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        doubled = {name: each.double() if each.is_floating_point() else each for name, each in tensors.items()}
        with torch.inference_mode():
            result = found.module(**doubled)
        results = result if isinstance(result, tuple) else (result,)
        outputs = {spec.name: tensor.float().numpy() for spec, tensor in zip(found.outputs, results, strict=True)}
        self.calls.append(
            {
                "stage": stage,
                "inputs": {spec.name: _hashed(arrays[spec.name]) for spec in found.inputs},
                "outputs": {name: _stored(values) for name, values in outputs.items()},
            }
        )
        return outputs


def trajectory_files() -> dict[str, dict[str, Any]]:
    """The files by name, without their suffix."""
    return {name: record(model) for name, model in MODELS.items()}


def record(model: GoldenModel) -> dict[str, Any]:
    """Draw with a model, and keep everything."""
    config, stages = model.config, model.stages()
    recorder, previews = Recorder(stages), []
    tokenizer = tokenizer_of(model)

    def on_step(step: int, latents: np.ndarray) -> None:
        if model.preview is not None:
            previews.append(_picture(model.preview(latents[0])))

    picture = draw(
        recorder,
        tokenizer,
        DrawSettings.of(config),
        model.prompt,
        model.seed,
        model.guidance,
        on_step,
        model.negative,
        None if model.redrawn is None else model.redrawn.start(),
        model.syntax,
        [hinted.hint() for hinted in model.hints],
        None if model.adapters is None else model.adapters.at(dict(model.scales)),
    )
    request: dict[str, Any] = {
        "prompt": model.prompt,
        "negative": model.negative,
        "seed": str(model.seed),
        "guidance": model.guidance,
    }
    if model.syntax != "plain":
        request["syntax"] = model.syntax
    if model.redrawn is not None:
        request["start"] = _start(model.redrawn)
    if model.hints:
        request["hints"] = [_hint(hinted) for hinted in model.hints]
    if model.scales:
        request["adapters"] = [{"name": name, "scale": scale} for name, scale in model.scales]
    preview = {} if model.preview is None else {"preview": {"text": preview_text(model.preview), "pictures": previews}}
    return {
        "manifest": dump_manifest(describe(model, stages)),
        "tokenizer": model.tokenizer,
        **({} if model.second_tokenizer is None else {"tokenizer_2": model.second_tokenizer}),
        **({} if model.adapters is None else {"adapters": _adapters(model)}),
        "request": request,
        "steps": DrawSettings.of(config).steps,
        "calls": recorder.calls,
        "picture": _picture(picture),
        **preview,
    }


def adapter_bundle_files(model: GoldenModel) -> dict[str, bytes]:
    """The files of a bundle that are of adapters, by their paths; {} for a model without them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_adapters(folder, model.config.adapters, model.adapters)
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.glob("adapters/*"))}


def _adapters(model: GoldenModel) -> dict[str, Any]:
    """The bundle's files of adapters, in base64, and those of later by their names."""
    files = {path: base64.b64encode(content).decode() for path, content in adapter_bundle_files(model).items()}
    later = {name: files.pop(f"adapters/{name}.safetensors") for name in model.later}
    return {"files": files, "later": later}


def tokenizer_of(model: GoldenModel) -> Tokenizer:
    """The tokenizer of a model, or the pair of them."""
    length = model.config.text.max_tokens
    if model.second_tokenizer is None:
        return open_tokenizer(model.config.tokenizer, FOLDER / model.tokenizer, length)
    files = (FOLDER / model.tokenizer, FOLDER / model.second_tokenizer)
    return ClipPairTokenizer(*(ClipTokenizer.from_file(file, length) for file in files))


def preview_text(preview: Preview) -> str:
    """The content of the bundle's preview.json."""
    return json.dumps(asdict(preview)) + "\n"


def describe(model: GoldenModel, stages: Mapping[str, ExportStage]) -> Manifest:
    """The manifest of a bundle with this model; its programs and its golden index are empty files."""
    config = model.config
    programs = {stage: f"{stage}.pte" for stage in stages}
    files = {path: b"" for path in (*programs.values(), INDEX)}
    files |= {path: each for path, each in adapter_bundle_files(model).items() if Path(path).stem not in model.later}
    tokenizers = tokenizer_files(config.tokenizer)
    for name, source in zip(tokenizers, (model.tokenizer, model.second_tokenizer), strict=False):
        files[name] = (FOLDER / str(source)).read_bytes()
    if model.preview is not None:
        files[PREVIEW_FILE] = preview_text(model.preview).encode()
    artifacts = tuple(
        ArtifactEntry(name, path, "forward", program_outputs(stages[name]), "fp32", "none", 1, ())
        for name, path in programs.items()
    )
    return Manifest(
        format=FORMAT,
        schema_version=SCHEMA_VERSION,
        target="android",
        model=ModelEntry(
            config.name, config.licence, config.height, config.width, config.styles, (), config.text.widths, ""
        ),
        stages=tuple(StageEntry(name, each.inputs, each.outputs) for name, each in stages.items()),
        runtimes=(RuntimeEntry("xnnpack", True, True, (), artifacts),),
        schedule=describe_schedule(config),
        tokenizer=TokenizerEntry(config.tokenizer, config.text.max_tokens, tokenizers),
        golden=INDEX,
        parity=(),
        tools=(),
        files=file_entries(files),
    )


def _little(values: np.ndarray) -> bytes:
    return np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


def _hashed(values: np.ndarray) -> dict[str, Any]:
    digest = hashlib.sha256(_little(values)).hexdigest()
    return {"dtype": str(values.dtype), "shape": list(values.shape), "sha256": digest}


def _stored(values: np.ndarray) -> dict[str, Any]:
    return {"shape": list(values.shape), "data": base64.b64encode(_little(values)).decode()}


def _hint(hinted: Hinted) -> dict[str, Any]:
    height, width = hinted.pixels.shape[:2]
    pixels = base64.b64encode(hinted.pixels.tobytes()).decode()
    return {"width": width, "height": height, "pixels": pixels, "scale": hinted.scale}


def _start(redrawn: Redrawn) -> dict[str, Any]:
    height, width = redrawn.pixels.shape[:2]
    mask = None if redrawn.mask is None else base64.b64encode(redrawn.mask.tobytes()).decode()
    pixels = base64.b64encode(redrawn.pixels.tobytes()).decode()
    asked = {"strength": redrawn.strength, "mask": mask, "image_guidance": redrawn.image_guidance}
    return {"width": width, "height": height, "pixels": pixels, **asked}


def _picture(pixels: NDArray[np.uint8]) -> dict[str, Any]:
    height, width = pixels.shape[:2]
    return {"width": width, "height": height, "sha256": hashlib.sha256(pixels.tobytes()).hexdigest()}
