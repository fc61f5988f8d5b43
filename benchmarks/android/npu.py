"""What W8A16 costs in accuracy beside int8: the emoji model's ONNX programs, run on this computer's processor.

    .venv/bin/python -m benchmarks.android.npu --work build/npu                # two minutes

Both precisions are exported as `mobile-diffusion export android` does it, checks included; a bundle that is already in
the work folder is reused.  There are no times: W8A16 is for Qualcomm's NPU, and a processor computes it in float.
Results go to benchmarks/results/android_npu.json.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx

from benchmarks.android.precisions import bundle_of, described
from benchmarks.measuring.command_line import Work, run_script
from benchmarks.measuring.results import PRESENT, conditions, write_result
from benchmarks.paths import EMOJI, RESULTS
from mobile_diffusion.checkpoint import open_checkpoint

RESULT = RESULTS / "android_npu.json"
PRECISIONS = ("fp32", "int8", "w8a16")
ROUNDING = ("QuantizeLinear", "DequantizeLinear")


def in_float(path: Path) -> int:
    """How many operations of a model have an output that is not rounded at once, and is not the model's own."""
    graph = onnx.load(path, load_external_data=False).graph
    rounded = {name for node in graph.node if node.op_type in ROUNDING for name in node.input}
    values = Counter(node.op_type for node in graph.node if not rounded & set(node.output))
    return sum(count for kind, count in values.items() if kind not in (*ROUNDING, "Constant"))


def main(work: Work, threads: int = 1) -> None:
    """Export, read, write."""
    work.mkdir(parents=True, exist_ok=True)
    model, rows = open_checkpoint(EMOJI), []
    for precision in PRECISIONS:
        bundle = bundle_of(model, "onnx", precision, work, threads)
        paths = {stage: bundle.path / path for stage, path in bundle.artifacts(bundle.runtime()).items()}
        floats = {stage: in_float(path) for stage, path in paths.items()}
        rows.append({"model": PRESENT, "precision": precision, "operations_in_float": floats} | described(bundle))
    write_result(RESULT, {"conditions": conditions(threads), "rows": rows})


if __name__ == "__main__":
    run_script(main, __doc__)
