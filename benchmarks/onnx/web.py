"""Runs a bundle's ONNX models in ONNX Runtime for browsers (WebAssembly, in node) and compares them with its vectors.

    python -m benchmarks.onnx.web build/android --install

With `--install` npm first fetches `onnxruntime-web`, in the version of apps/web/package.json, into the cache folder.
Only models without a file of weights beside them are run.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import typer

from benchmarks.measuring.command_line import run_script
from benchmarks.measuring.results import conditions, write_result
from benchmarks.paths import RESULTS
from export.bundle.bundle import open_bundle
from export.parity.measure import Measurement, measure
from export.parity.metrics import Metrics, PictureMetrics
from export.signatures import Signature, TensorSpec, program_outputs
from export.verify import depth_of, read_trajectories
from mobile_diffusion.decibels import json_number, worst
from mobile_diffusion.errors import ExportError

PACKAGE = "onnxruntime-web"
INSTALLER = Path(__file__).parents[2] / "apps" / "web" / "install-tools.sh"
PACKAGES = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mobile-diffusion" / "web"
SCRIPT = Path(__file__).with_suffix(".mjs")
RESULT = RESULTS / "onnx_web.json"


@dataclass(eq=False)
class WebRunner:
    """Models in a process of node that stays while they are called."""

    models: Mapping[str, Path]
    signatures: Mapping[str, Signature]
    folder: Path
    """For what is handed over."""
    packages: Path = PACKAGES
    threads: int = 1
    name: ClassVar[str] = "onnx"
    process: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        command = ["node", str(SCRIPT), str(self.packages)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, stage: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of one stage by name; raises `ExportError` when node ends instead."""
        signature = self.signatures[stage]
        names = dict(zip(program_outputs(signature), signature.outputs, strict=True))
        inputs = {spec.name: self._entry(spec.name, spec) for spec in signature.inputs}
        for name, array in arrays.items():
            array.tofile(inputs[name]["file"])
        outputs = {name: self._entry(name, spec) for name, spec in names.items()}
        line = json.dumps({"model": str(self.models[stage]), "inputs": inputs, "outputs": outputs})
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        if self.process.stdout.readline() != "done\n":
            raise ExportError(f"{self.models[stage]}: expected {PACKAGE} to run it, got an error from node")
        found = {name: np.fromfile(entry["file"], entry["type"]) for name, entry in outputs.items()}
        return {spec.name: found[name].reshape(spec.shape) for name, spec in names.items()}

    def close(self) -> None:
        """End node."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()

    def _entry(self, name: str, spec: TensorSpec) -> dict[str, Any]:
        return {"type": spec.dtype, "shape": spec.shape, "file": str(self.folder / name)}


def why_not() -> str:
    """Why models cannot be run in WebAssembly here; "" if they can."""
    if shutil.which("node") is None:
        return "node is not installed"
    if not (PACKAGES / "node_modules" / PACKAGE).is_dir():
        return f"{PACKAGE} is not in {PACKAGES}: python -m benchmarks.onnx.web BUNDLE --install"
    return ""


def install() -> None:
    """Let npm fetch the package into the cache folder."""
    subprocess.run([INSTALLER], check=True)


def compare(path: Path, work: Path) -> dict[str, Any]:
    """The worst of every check over all golden vectors of a bundle."""
    bundle = open_bundle(path)
    trajectories = read_trajectories(bundle)
    entry = bundle.runtime("onnx")
    models = {artifact.stage: path / artifact.path for artifact in entry.artifacts}
    signatures = {stage.name: Signature(stage.inputs, stage.outputs) for stage in bundle.manifest.stages}
    runner, found = WebRunner(models, signatures, work), list[Measurement]()
    settings, depth = bundle.settings(), depth_of(bundle, trajectories)
    for trajectory in trajectories:
        found += measure("onnx", runner, trajectory, settings, bundle.step_table(), depth)[0]
    runner.close()
    return {
        "model": bundle.manifest.model.name,
        "precision": entry.precision,
        "steps": settings.steps,
        "trajectories": len(trajectories),
        "measurements": len(found),
        "worst_db": worst_of(found),
    }


def worst_of(found: Sequence[Measurement]) -> dict[str, float | None]:
    """The least ratio of every check in dB, None where one is NaN; raises `ExportError` for a check without metrics."""
    ratios: dict[str, list[float]] = {}
    for each in found:
        metrics = each.metrics
        if not isinstance(metrics, Metrics | PictureMetrics):
            raise ExportError(f"{each.check}: expected a comparison, got {each.problem}")
        value = metrics.psnr_db if isinstance(metrics, PictureMetrics) else metrics.snr_db
        ratios.setdefault(each.check, []).append(value)
    lowest = {check: json_number(worst(values)) for check, values in ratios.items()}
    return {check: None if value is None else round(value, 1) for check, value in lowest.items()}


def main(
    bundles: Annotated[list[Path], typer.Argument(help="Bundles with ONNX models.")],
    fetch: Annotated[bool, typer.Option("--install", help="Fetch onnxruntime-web with npm.")] = False,
) -> None:
    """Run every bundle, write and print."""
    if fetch:
        install()
    if why_not():
        raise ExportError(why_not())
    stated = conditions(1)
    version = json.loads((PACKAGES / "node_modules" / PACKAGE / "package.json").read_text())["version"]
    rows = []
    for bundle in bundles:
        with tempfile.TemporaryDirectory() as work:
            rows.append(compare(bundle, Path(work)))
    places = {"processor": stated["processor"], "system": stated["system"]}
    values = {**places, PACKAGE: version, "conditions": stated, "rows": rows}
    write_result(RESULT, values)
    typer.echo(json.dumps(values, indent=1))


if __name__ == "__main__":
    run_script(main, __doc__)
