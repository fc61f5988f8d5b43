"""A stand-in for the part of coremltools that only a Mac has: FAKE, for the plumbing alone.

It "compiles" by noting the package's path, "runs" with our interpreter, and "plans" all operations onto the Neural
Engine but the casts.  Nothing that it says is evidence of what Core ML does.  It keeps every call, so that the tests
can check the calls against coremltools' real signatures; the structures that it returns are coremltools' own classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from export.coreml.interpret import Program
from export.coreml.package_archive import CoreMLPackage
from export.coreml.steps import read_steps
from export.studies.mac.record import System
from export.studies.mac.surface import CoreML, real_core_ml

SYSTEM = System("Fake M0", "FakeMac1,1", 8 << 30, "0.0", "9.0", "3.11")
Change = Callable[[np.ndarray], np.ndarray]
Call = tuple[str, tuple[Any, ...], dict[str, Any]]


class MLCPUComputeDevice:
    """Named as coremltools' class, which cannot be made without Core ML."""


class MLNeuralEngineComputeDevice:
    """As above."""


class FakeCoreML:
    """What `coremltools` would be on a Mac."""

    def __init__(self, refuse: str = "", changes: Mapping[str, Change] | None = None, planless: bool = False) -> None:
        self.refuse, self.changes, self.planless = refuse, changes or {}, planless
        self.calls: list[Call] = []

    def surface(self) -> CoreML:
        """With these methods instead of coremltools'."""
        return CoreML(self.compile_model, self.CompiledMLModel, FakePlans(self), real_core_ml().units)

    def compile_model(self, *args: Any, **options: Any) -> str:
        """Note where the package is."""
        self.calls.append(("compile_model", args, options))
        destination = Path(options["destination_path"])
        assert destination.suffix == ".mlmodelc" and args[0].endswith(".mlpackage")
        destination.mkdir()
        (destination / "package").write_text(args[0])
        return str(destination)

    def CompiledMLModel(self, *args: Any, **options: Any) -> FakeModel:
        """Open the package with the interpreter."""
        self.calls.append(("CompiledMLModel", args, options))
        unit = options["compute_units"].name
        if unit == self.refuse:
            raise RuntimeError(f"Error: fake\nfailure on {unit}")
        return FakeModel(self, Program.open(package_of(args[0])), self.changes.get(unit, lambda array: array))


class FakeModel:
    """What `CompiledMLModel` would be."""

    def __init__(self, owner: FakeCoreML, program: Program, change: Change) -> None:
        self.owner, self.program, self.change = owner, program, change

    def predict(self, *args: Any, **options: Any) -> dict[str, np.ndarray]:
        """Interpret, and spoil the outputs as asked."""
        self.owner.calls.append(("CompiledMLModel.predict", (self, *args), options))
        return {name: self.change(array) for name, array in self.program.run(**args[0]).items()}


class FakePlans:
    """What the class `MLComputePlan` would be."""

    def __init__(self, owner: FakeCoreML) -> None:
        self.owner = owner

    def load_from_path(self, *args: Any, **options: Any) -> FakePlan:
        """A plan, unless there is to be none."""
        self.owner.calls.append(("MLComputePlan.load_from_path", args, options))
        if self.owner.planless:
            raise RuntimeError("MLComputePlan is only available on macOS >= 14.4")
        return FakePlan(self.owner, structure_of(package_of(args[0])))


class FakePlan:
    """What an `MLComputePlan` would be."""

    def __init__(self, owner: FakeCoreML, structure: Any) -> None:
        self.owner, self.model_structure = owner, structure

    def get_compute_device_usage_for_mlprogram_operation(self, *args: Any) -> Any:
        """Nothing for constants."""
        from coremltools.models.compute_plan import MLComputePlanDeviceUsage

        self.owner.calls.append(("MLComputePlan.get_compute_device_usage_for_mlprogram_operation", (self, *args), {}))
        kind, cpu, engine = args[0].operator_name, MLCPUComputeDevice(), MLNeuralEngineComputeDevice()
        if kind == "const":
            return None
        return MLComputePlanDeviceUsage(cpu if kind == "cast" else engine, [cpu, engine])  # type: ignore[arg-type, list-item]

    def get_estimated_cost_for_mlprogram_operation(self, *args: Any) -> Any:
        """The same for all but the casts, for which there is no estimate."""
        from coremltools.models.compute_plan import MLComputePlanCost

        self.owner.calls.append(("MLComputePlan.get_estimated_cost_for_mlprogram_operation", (self, *args), {}))
        return None if args[0].operator_name == "cast" else MLComputePlanCost(0.001)


def package_of(compiled: str) -> Path:
    """The package that was "compiled" to a path."""
    return Path((Path(compiled) / "package").read_text())


def structure_of(path: Path) -> Any:
    """A package's program in the classes of coremltools' `compute_plan`."""
    from coremltools.models import compute_plan as plan

    operations = [
        plan.MLModelStructureProgramOperation(
            {},
            one.type,
            [plan.MLModelStructureProgramNamedValueType(out.name, None) for out in one.outputs],
            [],
            None,  # type: ignore[arg-type]
        )
        for one in read_steps(CoreMLPackage.open(path)).block.operations
    ]
    block = plan.MLModelStructureProgramBlock([], operations, [])
    function = plan.MLModelStructureProgramFunction([], block)
    return plan.MLModelStructure(None, plan.MLModelStructureProgram({"main": function}), None)
