"""Running a `.pte` file does not import the exporter, which takes seconds."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import sys
from export.runners.executorch import set_threads
set_threads(1)
print([name for name in ("executorch.exir", "torch._dynamo", "torchao") if name in sys.modules])
"""


def test_the_runtime_starts_without_the_exporter() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
