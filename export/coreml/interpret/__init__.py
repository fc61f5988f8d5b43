"""An interpreter for saved Core ML packages, which runs their programs on any machine, without a Mac.

It reads the protobuf message that a phone reads, and the weights, from disk, and runs one operation after another on
torch's CPU kernels.
"""

from export.coreml.interpret.control import StateBag
from export.coreml.interpret.execute import PRECISIONS
from export.coreml.interpret.instruction import Instruction, Observer
from export.coreml.interpret.operations import OPS
from export.coreml.interpret.program import Program

__all__ = ["OPS", "PRECISIONS", "Instruction", "Observer", "Program", "StateBag"]
