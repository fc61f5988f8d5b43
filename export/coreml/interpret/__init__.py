"""An interpreter of saved Core ML packages: what a program computes, on any machine, without a Mac.

A package is read back from disk with its weights, as the protobuf message that a phone reads, and run operation by
operation on torch's CPU kernels.
"""

from export.coreml.interpret.control import StateBag
from export.coreml.interpret.execute import PRECISIONS
from export.coreml.interpret.instruction import Instruction, Observer
from export.coreml.interpret.operations import OPS
from export.coreml.interpret.program import Program

__all__ = ["OPS", "PRECISIONS", "Instruction", "Observer", "Program", "StateBag"]
