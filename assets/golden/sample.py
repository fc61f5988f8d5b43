"""A small manifest that needs no model, and the files that fit it."""

from __future__ import annotations

import hashlib

from export.bundle.manifest import FORMAT, SCHEMA_VERSION, Manifest
from export.bundle.manifest_parts import (
    ArtifactEntry,
    FileEntry,
    ModelEntry,
    ParityEntry,
    RuntimeEntry,
    ScheduleEntry,
    SettingEntry,
    StageEntry,
    TokenizerEntry,
    ToolEntry,
)
from export.signatures import STAGES, TensorSpec

FILES = {
    "encode_text.mlpackage/Manifest.json": b"{}",
    "encode_text.mlpackage/Data/weights/weight.bin": bytes(range(256)),
    "denoise.mlpackage/Manifest.json": b"denoise",
    "decode_image.mlpackage/Manifest.json": b"decode",
    "tokenizer.json": b'{"words": []}',
    "golden/index.json": b'{"cases": []}',
    "golden/0/latents.bin": bytes(64),
    "parity.json": b"{}",
    "empty.txt": b"",
}


def sample_manifest(files: tuple[FileEntry, ...]) -> Manifest:
    """A manifest that fits FILES."""
    tensor = TensorSpec("latents", "float32", (1, 4, 2, 2))
    artifacts = tuple(
        ArtifactEntry(stage, f"{stage}.mlpackage", "main", ("out",), "fp16", "none", 0, ()) for stage in STAGES
    )
    return Manifest(
        format=FORMAT,
        schema_version=SCHEMA_VERSION,
        target="ios",
        model=ModelEntry("tiny", "MIT", 16, 24, ("3d", "flat"), ("lora style.safetensors at 0.8",), (8,), "0" * 64),
        stages=tuple(StageEntry(stage, (tensor,), (tensor,)) for stage in STAGES),
        runtimes=(RuntimeEntry("coreml", True, True, (SettingEntry("compute_units", "CPU_AND_NE"),), artifacts),),
        schedule=ScheduleEntry(
            solver="ddim",
            prediction="v",
            spacing="trailing",
            train_steps=1000,
            timesteps=(999.0, 499.5),
            inputs=(1.0, 1.0),
            update=(((0.5, -0.5),), ((1.0, -0.25),)),
            noise_factors=(0.0, 0.0),
            alphas=(0.1, 0.7),
            sigmas=(0.9, 0.7),
            starts=(),
            guidance_kind="cfg",
            guidance_default=3.0,
            guidance_shares=(),
            zero_null=False,
            noise="philox4x32-10",
        ),
        tokenizer=TokenizerEntry("wordpiece", 24, ("tokenizer.json",)),
        golden="golden/index.json",
        parity=(ParityEntry("coreml", "denoise", "snr_db", 61.5, 40.0),),
        tools=(ToolEntry("torch", "2.13.0"),),
        files=files,
    )


def file_entries(files: dict[str, bytes]) -> tuple[FileEntry, ...]:
    """Sizes and hashes of files, sorted by path."""
    return tuple(FileEntry(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in sorted(files.items()))
