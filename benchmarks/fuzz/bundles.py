"""Targets whose valid input is a file of an exported bundle: its descriptions, and its programs.

Programs are read by our own readers.  The runtimes themselves are not among the targets: what they do with a damaged
program is theirs.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.fuzz.targets import Read, Target, read_with
from export.bundle.bundle import open_bundle

STAGE = "decode_image"
"""The stage whose programs are changed."""
SLOW = frozenset({"golden", "parity", "pte"})
"""Files of an Android bundle that take long to read; so do all Core ML packages."""


@dataclass(frozen=True)
class BundleTarget(Target):
    """A file of a bundle."""

    bundle: Path = Path()
    kept: tuple[str, ...] = ()
    """Paths of the bundle that the reader needs."""

    def prepare(self, folder: Path) -> None:
        """Copy the files."""
        for name in self.kept:
            copy = shutil.copytree if (self.bundle / name).is_dir() else shutil.copy2
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            copy(self.bundle / name, folder / name)


def bundle_targets(folder: Path) -> Mapping[str, Target]:
    """The targets of the bundles `android` and `ios` in a folder."""
    return {each.name: each for each in _all(folder / "android", folder / "ios")}


def _all(android: Path, ios: Path) -> Iterator[Target]:
    def document(name: str, file: str, reader: Read, *kept: str, in_folder: bool = True) -> Target:
        files = kept if file.partition("/")[0] in kept else (file, *kept)
        return BundleTarget(name, file, dict, reader, in_folder, name in SLOW, android, files)

    kept = ("manifest.json", "tokenizer.json")
    yield BundleTarget("bundle", "manifest.json", dict, open_whole, True, False, android, kept)
    yield document("golden", "golden/index.json", read_with("export.parity.golden", "read_golden"), "golden")
    yield document("preview", "preview.json", read_with("export.job.preview", "read_preview"))
    yield document("layers", "layers.json", read_with("export.job.layers", "read_layers"))
    yield document("latency", "latency.json", read_with("export.latency.reading", "read_latency"), in_folder=False)
    yield document("parity", "parity.json", read_recorded_parity, "manifest.json", "golden")
    pte, onnx, package = f"{STAGE}.pte", f"onnx/{STAGE}.onnx", f"{STAGE}.mlpackage"
    signature = f"{STAGE}.json"
    yield document("signature", signature, lambda path: read_signature(path.with_name(pte)), pte, in_folder=False)
    yield document("pte", pte, read_with("export.executorch.reading", "read_content"), in_folder=False)
    yield document("onnx", onnx, read_with("export.onnx.reading", "read_content"), in_folder=False)
    inside = f"{package}/Data/com.apple.CoreML"
    for name, file in (
        ("mlpackage", f"{inside}/model.mlmodel"),
        ("mlpackage-weights", f"{inside}/weights/weight.bin"),
        ("mlpackage-list", f"{package}/Manifest.json"),
    ):
        yield BundleTarget(name, file, dict, lambda path: interpret(path / package), True, True, ios, (package,))


def open_whole(folder: Path) -> object:
    """What an app reads before it draws."""
    bundle = open_bundle(folder, verify=False)
    return bundle.settings(), bundle.step_table(), bundle.tokenizer().encode("a red apple")


def read_recorded_parity(folder: Path) -> object:
    """The figures of the export."""
    from export.evidence.figures import read_parity
    from export.verify import depth_of, read_trajectories

    bundle = open_bundle(folder, verify=False)
    trajectories = read_trajectories(bundle)
    return read_parity(bundle, trajectories, depth_of(bundle, trajectories))


def read_signature(path: Path) -> object:
    """The file next to a .pte."""
    from export.executorch.signature import read_delegation, read_signature

    return read_signature(path, STAGE), read_delegation(path)


def interpret(path: Path) -> object:
    """Open a Core ML package and interpret it."""
    from export.coreml.interpret import Program

    program = Program.open(path)
    return program.run(**{spec.name: _zeros(spec.shape) for spec in program.inputs})


def _zeros(shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape, np.float32)
