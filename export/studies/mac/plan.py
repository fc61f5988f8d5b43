"""Core ML's plan for a program: the device of each operation, and its estimated cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.studies.mac.record import PlannedOperation
from export.studies.mac.surface import CoreML
from mobile_diffusion.errors import ExportError

DEVICES = {
    "MLCPUComputeDevice": "CPU",
    "MLGPUComputeDevice": "GPU",
    "MLNeuralEngineComputeDevice": "Neural Engine",
}
"""coremltools' classes of devices."""


@dataclass(frozen=True)
class DeviceShare:
    """The share of a program that runs on one device."""

    device: str
    operations: int
    cost: float
    """Sum of Core ML's estimates; 1 is the whole program."""


def read_plan(core_ml: CoreML, compiled: Path, units: str) -> tuple[PlannedOperation, ...]:
    """Every operation with a device, in order; constants have none.  Needs macOS 14.4."""
    plan = core_ml.plan(compiled, units)
    found = []
    for operation in operations(plan.model_structure):
        usage = plan.get_compute_device_usage_for_mlprogram_operation(operation)
        if usage is None:
            continue
        cost = plan.get_estimated_cost_for_mlprogram_operation(operation)
        found.append(
            PlannedOperation(
                operation.outputs[0].name if operation.outputs else "",
                str(operation.operator_name),
                device_name(usage.preferred_compute_device),
                tuple(device_name(device) for device in usage.supported_compute_devices),
                None if cost is None else float(cost.weight),
            )
        )
    return tuple(found)


def operations(structure: Any) -> Iterator[Any]:
    """The operations of a program, or of all programs of a pipeline."""
    if structure.pipeline is not None:
        for _, part in structure.pipeline.sub_models:
            yield from operations(part)
    elif structure.program is not None:
        for function in structure.program.functions.values():
            yield from of_block(function.block)
    else:
        raise ExportError("expected the plan of an ML program or a pipeline, got that of another kind of model")


def of_block(block: Any) -> Iterator[Any]:
    """Yield the operations of a block and of nested blocks."""
    for operation in block.operations:
        yield operation
        for inner in operation.blocks:
            yield from of_block(inner)


def device_name(device: Any) -> str:
    """Such as "GPU"; for an unknown class, its name."""
    name = type(device).__name__
    return DEVICES.get(name, name)


def shares(plan: Sequence[PlannedOperation]) -> list[DeviceShare]:
    """The share of each device, the one with the most operations first."""
    names = dict.fromkeys(operation.device for operation in plan)
    by_device = {name: [operation for operation in plan if operation.device == name] for name in names}
    found = [
        DeviceShare(name, len(mine), sum(operation.cost or 0.0 for operation in mine))
        for name, mine in by_device.items()
    ]
    return sorted(found, key=lambda share: -share.operations)
