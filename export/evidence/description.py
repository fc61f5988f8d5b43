"""The manifest: what can be derived anew from the programs, from the list of runtimes, and from the checkpoint.

Without a checkpoint, the model's name, licence and changes, and the tokenizer's words that no golden prompt has, stay
the manifest's word.  With it, model, stages, schedule and tokenizer are described again by the code of an export.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from export.bundle.bundle import Bundle
from export.bundle.manifest_parts import ArtifactEntry, RuntimeEntry, StageEntry, TokenizerEntry
from export.evidence.content import Content, Contents
from export.evidence.difference import Difference, differing
from export.evidence.plan import plan_of, runtime_of
from export.job.manifest_description import NOISE, describe_model, describe_schedule
from export.job.provenance import PROVENANCE_FILE, provenance
from export.runtime import Runtime
from export.signatures import Signature, TensorSpec, signature
from export.targets import RUNTIMES, TARGETS
from mobile_diffusion.checkpoint import TOKENIZER_FILE, AnyModel
from mobile_diffusion.config_json import to_dict
from mobile_diffusion.errors import BundleError
from mobile_diffusion.strict_json import parse_json
from mobile_diffusion.tokenization.tokenizer import tokenizer_files

CHECK = "description"
MANIFEST_PLACE = "manifest.json: "
_LABELS = ("fp32", "fp16", "w8a16", "int8", "int8-dynamic", "int4-dynamic")
"""From the finest to the coarsest: a runtime's label is the coarsest of its stages, as some have nothing to round."""


def check_description(bundle: Bundle, contents: Contents) -> list[Difference]:
    """Every difference between the manifest and what its own programs and this version's runtimes say."""
    manifest = bundle.manifest
    differences = list(_check_model(bundle))
    runtimes = manifest.runtimes
    known = {runtime.name for runtime in TARGETS[manifest.target].runtimes} if manifest.target in TARGETS else set()
    if not known:
        differences.append(_differ("target", f"one of {', '.join(TARGETS)}", manifest.target))
    for number, entry in enumerate(runtimes):
        place = f"runtimes[{number}]"
        if entry.name not in known:
            differences.append(_differ(f"{place}.name", f"a runtime of {manifest.target}", entry.name))
            continue
        if entry.primary != (number == 0):
            differences.append(_differ(f"{place}.primary", "true for the first runtime alone", str(entry.primary)))
        differences += _check_runtime(bundle, entry, contents.of(entry.name), place)
    return differences


def check_provenance(bundle: Bundle, depth: str) -> list[Difference]:
    """Every field of provenance.json that does not follow from the manifest."""
    path = bundle.path / PROVENANCE_FILE
    try:
        kept = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        got = type(error).__name__
        raise BundleError(f"{path}: expected a statement, got {got}; export the bundle again") from None
    made = provenance(bundle.manifest, plan_of(bundle, depth, 1))
    return [Difference("provenance", f"{PROVENANCE_FILE}: {place}", *pair) for place, *pair in differing(made, kept)]


def check_source(bundle: Bundle, source: AnyModel) -> list[Difference]:
    """Every difference between the manifest and what the checkpoint says, and between the tokenizers."""
    config, manifest = source.config, bundle.manifest
    stages = []
    for entry in manifest.stages:
        found = signature(config, entry.name)
        stages.append(StageEntry(entry.name, found.inputs, found.outputs))
    made = {
        "model": to_dict(describe_model(source)),
        "stages": [to_dict(stage) for stage in stages],
        "schedule": to_dict(describe_schedule(config)),
        "tokenizer": to_dict(
            TokenizerEntry(config.tokenizer, config.text.max_tokens, tokenizer_files(config.tokenizer))
        ),
    }
    kept = {name: value for name, value in to_dict(manifest).items() if name in made}
    found_differences = [_differ(*each) for each in differing(made, kept)]
    return [*found_differences, *_check_tokenizer(bundle, source)]


def _check_tokenizer(bundle: Bundle, source: AnyModel) -> Iterator[Difference]:
    """Every entry of the tokenizer's files, as the checkpoint's tokenizer writes them."""
    same_files = bundle.manifest.tokenizer.files == tokenizer_files(source.config.tokenizer)  # else it is said already
    with tempfile.TemporaryDirectory(prefix="mobile-diffusion-") as folder:
        source.tokenizer.save(Path(folder) / TOKENIZER_FILE)
        for name in bundle.manifest.tokenizer.files if same_files else ():
            pair = [_read_json(path) for path in (Path(folder) / name, bundle.path / name)]
            for place, expected, got in differing(*pair):
                yield Difference("tokenizer", f"{name}: {place}", expected, got)


def _read_json(path: Path) -> Any:
    try:
        return parse_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return str(error)


def _check_model(bundle: Bundle) -> Iterator[Difference]:
    """The size of the model's pictures, and the generator of noise."""
    model, settings = bundle.manifest.model, bundle.settings()
    sides = tuple(settings.image_shape[2:])
    if (model.height, model.width) != sides:
        yield _differ("model.height, model.width", str(sides), str((model.height, model.width)))
    if bundle.manifest.schedule.noise != NOISE:
        yield _differ("schedule.noise", NOISE, bundle.manifest.schedule.noise)


def _check_runtime(
    bundle: Bundle, entry: RuntimeEntry, contents: dict[str, Content], place: str
) -> Iterator[Difference]:
    runtime = runtime_of(entry)
    if entry.verified != runtime.runs_here:
        yield _differ(f"{place}.verified", str(runtime.runs_here), str(entry.verified))
    if not runtime.has(runtime.precision) and runtime.precision != RUNTIMES[entry.name].precision:
        yield _differ(f"{place}.artifacts[*].precision", f"one that {entry.name} has", runtime.precision)
    names = set() if runtime.options is None else set(runtime.options.settings())
    if contents and {setting.name for setting in entry.settings} != names:
        yield _differ(f"{place}.settings", str(sorted(names)), str([setting.name for setting in entry.settings]))
    for number, artifact in enumerate(entry.artifacts):
        where = f"{place}.artifacts[{number}]"
        yield from _check_names(bundle, runtime, artifact, where)
        if artifact.stage in contents:
            yield from _check_content(bundle, runtime, entry, artifact, contents[artifact.stage], where)
    if contents:
        found = max((content.precision for content in contents.values()), key=_LABELS.index)
        if found != runtime.precision:
            yield _differ(f"{place}.artifacts[*].precision", f"{found}, as the programs compute", runtime.precision)
        compressed = {content.compressed for content in contents.values()} - {None}
        if compressed and any(compressed) == (runtime.compression == "none"):
            wanted = "a compression, as the programs have one" if any(compressed) else "none, as no program has one"
            yield _differ(f"{place}.artifacts[*].compression", wanted, runtime.compression)


def _check_names(bundle: Bundle, runtime: Runtime, artifact: ArtifactEntry, where: str) -> Iterator[Difference]:
    """Names that follow from the runtime, and one precision and compression for all stages."""
    stage = next(stage for stage in bundle.manifest.stages if stage.name == artifact.stage)
    outputs = runtime.outputs(Signature(stage.inputs, stage.outputs))
    wanted = (runtime.method(artifact.stage), outputs, runtime.precision, runtime.compression)
    found = (artifact.method, artifact.outputs, artifact.precision, artifact.compression)
    fields = ("method", "outputs", "precision", "compression")
    for name, expected, got in zip(fields, wanted, found, strict=True):
        if expected != got:
            yield _differ(f"{where}.{name}", str(expected), str(got))


def _check_content(
    bundle: Bundle, runtime: Runtime, entry: RuntimeEntry, artifact: ArtifactEntry, content: Content, where: str
) -> Iterator[Difference]:
    """Boundary, delegates and settings, as the program itself has them."""
    stage = next(stage for stage in bundle.manifest.stages if stage.name == artifact.stage)
    named = runtime.outputs(Signature(stage.inputs, stage.outputs))
    outputs = tuple(replace(spec, name=name) for spec, name in zip(stage.outputs, named, strict=True))
    for kind, wanted, found in (("inputs", content.inputs, stage.inputs), ("outputs", content.outputs, outputs)):
        pictures = tuple(map(_as_tensor, wanted))
        if pictures != found:
            yield _differ(f"stages {artifact.stage}.{kind}", f"{_shown(wanted)} of {artifact.path}", _shown(found))
    delegation = content.delegation
    counts = {each.name: each.count for each in artifact.undelegated}
    expected = (0, {}) if delegation is None else (delegation.delegates, delegation.undelegated)
    if expected != (artifact.delegates, counts):
        yield _differ(f"{where}: delegates, undelegated", str(expected), str((artifact.delegates, counts)))
    settings = {each.name: each.value for each in entry.settings}
    system = settings.get("deployment_target")
    if content.system is not None and system != content.system:
        yield _differ(f"{where}: deployment_target", content.system, str(system))
    if artifact.stage == "decode_image" and "pixel_buffer" in settings:
        picture = str(any(spec.dtype == "image" for spec in content.outputs)).lower()
        if settings["pixel_buffer"] != picture:
            yield _differ(f"{where}: pixel_buffer", picture, settings["pixel_buffer"])


def _as_tensor(spec: TensorSpec) -> TensorSpec:
    """The tensor of a stage that a program returns as an image, (H, W, 3)."""
    if spec.dtype != "image":
        return spec
    height, width, channels = spec.shape
    return TensorSpec(spec.name, "float32", (1, channels, height, width))


def _shown(specs: tuple[TensorSpec, ...]) -> str:
    return ", ".join(f"{spec.name} {spec.dtype} {tuple(spec.shape)}" for spec in specs)


def _differ(place: str, expected: str, got: str) -> Difference:
    return Difference(CHECK, MANIFEST_PLACE + place, expected, got)
