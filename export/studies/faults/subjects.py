"""What `coreml faults` examines: one package, or every package of a bundle, with what is known about the model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.bundle.bundle import Bundle, open_bundle
from export.bundle.manifest_parts import MANIFEST
from export.coreml.interpret import Program
from export.coreml.lower import lower
from export.coreml.options import CoreMLOptions
from export.coreml.package_archive import CoreMLPackage
from export.coreml.structure import signature
from export.signatures import EVERY_STAGE, STAGES
from export.stages import ExportStage, build_stage
from export.studies.faults.examine import Subject
from export.studies.faults.graph import step_count
from export.studies.faults.provoke import Arrays, Contexts, Filling, Tokens
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.tokenization.tokenizer import Tokenizer

RUNTIME = "coreml"
"""Runtime of the bundle whose programs are examined."""
TEXT = "encode_text"


def subjects(path: Path, model: Model | None) -> Iterator[Subject]:
    """Every package to examine: `path` itself, or those of the bundle at `path`; with the model's PyTorch modules.

    Raises:
        ConfigError: neither a package nor a bundle with Core ML programs.
        BundleError: the bundle is damaged.
    """
    bundle = open_bundle(path) if (path / MANIFEST).is_file() and path.suffix != ".mlpackage" else None
    if bundle is None:
        packages = {path.stem: path}
    else:
        packages = {stage: path / file for stage, file in bundle.artifacts(bundle.runtime(RUNTIME)).items()}
    for each in packages.values():
        if each.suffix != ".mlpackage" or not each.is_dir():
            raise ConfigError(f"{each}: expected a .mlpackage, or a bundle of them, got something else")
    tokenizer = model.tokenizer if model else bundle.tokenizer() if bundle else None
    for stage, package in packages.items():
        contexts = contexts_of(model, tokenizer, packages.get(TEXT) if bundle else None)
        yield subject(stage, package, tokenizer, contexts, model, bundle)


def examined(path: Path | None, model: Model | None, options: CoreMLOptions, folder: Path) -> Iterator[Subject]:
    """The packages at `path`; without one, those of the model, written into `folder`.

    Raises `ConfigError` when there is neither.
    """
    if path is not None:
        return subjects(path, model)
    if model is None:
        raise ConfigError("PACKAGE: expected a package, a bundle, or --checkpoint without either, got none of them")
    return lowered(model, options, folder)


def lowered(model: Model, options: CoreMLOptions, folder: Path) -> Iterator[Subject]:
    """Every stage of a model, lowered into `folder` as an export does; an export that fails leaves no bundle."""
    for stage in STAGES:
        yield from subjects(folder / lower(build_stage(model, stage), folder, options), model)


def subject(
    stage: str,
    path: Path,
    tokenizer: Tokenizer | None,
    contexts: Contexts | None,
    model: Model | None,
    bundle: Bundle | None,
) -> Subject:
    """One package, with its PyTorch module if the model has a stage of this name and these inputs."""
    package = CoreMLPackage.open(path)
    steps = len(bundle.manifest.schedule.timesteps) if bundle else step_count(package.spec)
    built = build_stage(model, stage) if model is not None and stage in EVERY_STAGE else None
    if built is not None and built.inputs != signature(package.spec)[0]:
        raise ConfigError(
            f"--checkpoint: expected the inputs of {path}, got {built.inputs}; give the checkpoint it was made from"
        )
    tokens = None if tokenizer is None else tokens_of(tokenizer)
    return Subject(path, Filling(steps, tokens, contexts), module_of(built))


def module_of(stage: ExportStage | None) -> nn.Module | None:
    """A stage's module."""
    return None if stage is None else stage.module


def tokens_of(tokenizer: Tokenizer) -> Tokens:
    """A function from a prompt to the inputs of `encode_text`."""

    def tokens(prompt: str) -> Arrays:
        encoded = tokenizer.encode(prompt)
        return {"tokens": encoded.ids[None], "mask": encoded.mask[None]}

    return tokens


def contexts_of(model: Model | None, tokenizer: Tokenizer | None, package: Path | None) -> Contexts | None:
    """A function from a prompt to what `encode_text` returns: in PyTorch, else in the bundle's program; or None."""
    if tokenizer is None or (model is None and package is None):
        return None
    tokens = tokens_of(tokenizer)

    @cache
    def by_pytorch(prompt: str) -> dict[str, NDArray[np.float32]]:
        assert model is not None
        stage = build_stage(model, TEXT)
        given: dict[str, Tensor] = {spec.name: torch.from_numpy(tokens(prompt)[spec.name]) for spec in stage.inputs}
        with torch.inference_mode():
            found = stage.module(**given)
        results = found if isinstance(found, tuple) else (found,)
        return {spec.name: tensor.numpy() for spec, tensor in zip(stage.outputs, results, strict=True)}

    @cache
    def by_program(prompt: str) -> dict[str, NDArray[np.float32]]:
        assert package is not None
        program = Program.open(package)
        given: dict[str, Any] = {spec.name: tokens(prompt)[spec.name] for spec in program.inputs}
        return {name: np.asarray(values) for name, values in program.run(**given).items()}

    return by_program if model is None else by_pytorch
