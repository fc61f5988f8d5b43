"""One block of Stable Diffusion 1.5 compressed by our recipes and by coreai-opt: bits, error and time.

    python -m benchmarks.coreai.block

The transformer block of the first level has the shapes of the checkpoint and normal numbers, so nothing is downloaded.
Both sides get the same AIProgram; the error is that of the decoded weights, read from the program.  Results go to
benchmarks/results/coreai_block.json.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.measuring.command_line import run_script
from benchmarks.measuring.results import conditions, write_result
from benchmarks.paths import RESULTS
from export.compression.plan import bits_per_weight, uniform_recipes
from export.compression.recipes import RECIPES
from export.coreai.compress import compress_program, weights_of
from export.coreai.compress.verify import BLOCKWISE, LUT, decode
from export.coreai.compress.weights import numbers_of
from export.coreai.sources import modules_of, nested, replace_locations
from export.coreai.toolchain import NOISY_LOGGERS, import_coreai
from export.quiet import errors_only
from mobile_diffusion.decibels import ratio_db
from mobile_diffusion.transformer import TransformerBlock

LOGGER = logging.getLogger(__name__)
RESULT = RESULTS / "coreai_block.json"
NAME = "down_blocks.0.attentions.0.transformer_blocks.0"
WIDTH, CONTEXT, HEADS, TOKENS = 320, 768, 8, 16
DEVIATION = 0.03
APPLE: Mapping[str, Callable[[Any, Any], Any]] = {
    "int8": lambda tools, program: tools.quantize_weights(program, tools.DType.INT8, in_place=True),
    "int4-block": lambda tools, program: tools.quantize_weights(
        program, tools.DType.INT4, granularity=tools.CompressionGranularity.PER_BLOCK, block_size=32, in_place=True
    ),
    "palettize-6": lambda tools, program: palettized(tools, program, 6),
    "palettize-4": lambda tools, program: palettized(tools, program, 4),
    "palettize-2": lambda tools, program: palettized(tools, program, 2),
}
"""Recipe -> the same by coreai-opt; it has no palette of 3 bits, and none of 8 in a reasonable time."""
OURS = ("int8", "int8-block", "int4-block", "palettize-8", "palettize-6", "palettize-4", "palettize-3", "palettize-2")


def palettized(tools: Any, program: Any, bits: int) -> Any:
    """One table per weight, by coreai-opt's clustering in one process."""
    return tools.palettize_weights(program, None, bits, num_kmeans_workers=1, in_place=True)


def network() -> nn.Module:
    """The block in half precision, with seeded normal weights."""
    torch.manual_seed(0)
    made = TransformerBlock(WIDTH, CONTEXT, HEADS)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=DEVIATION)
    return made.half().eval()


@torch.no_grad()
def converted(module: nn.Module) -> Any:
    """The block as an AIProgram."""
    torchs = import_coreai("coreai_torch")
    given = (torch.zeros(1, TOKENS, WIDTH).half(), torch.zeros(1, TOKENS, CONTEXT).half())
    with errors_only(NOISY_LOGGERS, prints=True):
        program = torch.export.export(module, given).run_decompositions(torchs.get_decomp_table())
        found = torchs.TorchConverter().add_exported_program(program, entrypoint_name="main").to_coreai()
    replace_locations(found, modules_of(program))
    return found


def measured(work: Callable[[Any], Any], program: Any, originals: Sequence[NDArray[np.float16]]) -> dict[str, float]:
    """The error of all weights together after `work` on a program, and the processor's seconds that it took."""
    before = time.process_time()
    work(program)
    taken = time.process_time() - before
    operations = [each for each in nested(program._module._mlir_module.operation) if each.name in (LUT, BLOCKWISE)]
    pairs = list(zip(originals, map(decode, operations), strict=True))
    signal = sum(float(np.square(each.astype(np.float64)).sum()) for each, _ in pairs)
    noise = sum(float(np.square(each.astype(np.float64) - decoded).sum()) for each, decoded in pairs)
    return {"snr_db": round(ratio_db(signal, noise), 2), "cpu_s": round(taken, 2)}


def by_apple(recipe: str) -> Callable[[Any], Any]:
    """A recipe as coreai-opt does it."""

    def work(program: Any) -> None:
        with errors_only((*NOISY_LOGGERS, "coreai_opt"), prints=True):
            APPLE[recipe](import_coreai("coreai_opt.coreai_utils"), program)

    return work


def main() -> None:
    """Measure all recipes."""
    import_coreai("coreai_opt.coreai_utils")  # so that its import is not timed
    module = network()
    whole = converted(module)  # owns the operations of the weights
    weights = weights_of(whole)
    originals = [numbers_of(weight.operation) for weight in weights]
    rows = []
    for recipe in OURS:
        ours = measured(
            lambda program, name=recipe: compress_program(program, "denoise", name), converted(module), originals
        )
        apple = measured(by_apple(recipe), converted(module), originals) if recipe in APPLE else None
        bits = bits_per_weight(weights, uniform_recipes(weights, RECIPES[recipe]))
        rows.append({"recipe": recipe, "bits": round(bits, 3), **ours, "apple": apple})
        LOGGER.info("%s", rows[-1])
    stated = {"block": NAME, "weights": len(weights), "numbers": sum(weight.count for weight in weights)}
    write_result(RESULT, {"conditions": conditions(1, deviation=DEVIATION), **stated, "rows": rows})


if __name__ == "__main__":
    run_script(main, __doc__)
