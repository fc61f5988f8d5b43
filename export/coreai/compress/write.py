"""Replaces weights of an AIProgram by operations that decode them: `lut_to_dense` and `blockwise_shift_scale`.

coreai-opt 0.4.0 does the same, with the same errors and in up to half of our time (benchmarks/coreai/block.py).  It
is not used, because it applies one recipe to a whole program, skips with a warning what it does not support, has no
palette of 3 bits, and ends with an error for palettes of vectors.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.compression.choice import stage_plan
from export.compression.linear import Linear
from export.compression.palettes import Palette
from export.compression.recipes import LARGE_OPSET, NONE, Recipe
from export.compression.store import reconstruction_snr, store
from export.coreai.compress.decode import decode_integers, decode_palette, pack_bits
from export.coreai.compress.weights import ProgramWeight, numbers_of, weights_of
from export.coreai.toolchain import import_coreai
from mobile_diffusion.errors import ExportError

TOLERANCE_DB = 1e-3


@dataclass(frozen=True)
class Promise:
    """What the asset must hold for one weight."""

    name: str
    shape: tuple[int, ...]
    recipe: str
    snr_db: float
    """Energy of the original divided by the energy of the error, in dB."""
    digest: bytes
    """Of the decoded weight (`digest_of`)."""


def compress_program(program: Any, stage: str, compression: str) -> tuple[Promise, ...]:
    """Compress the weights of a stage's AIProgram in place.

    `compression` is the name of a recipe or the path of a plan.  Returns a promise for each compressed weight, in the
    program's order.

    Raises:
        ConfigError: there is no such recipe, or the plan does not fit this program.
        ExportError: a weight is not finite.
    """
    weights = weights_of(program)
    recipes = stage_plan(stage, weights, compression).recipes(weights, LARGE_OPSET)
    chosen = [weight for weight in weights if recipes[weight.name].kind != NONE]
    return tuple(replace(program, weight, recipes[weight.name]) for weight in chosen)


def replace(program: Any, weight: ProgramWeight, recipe: Recipe) -> Promise:
    """Replace one constant by the operation that decodes it."""
    original, constant = numbers_of(weight.operation), weight.operation
    stored, snr_db = store(original, weight, recipe)
    decoded = decoded_weight(stored, weight)
    found = reconstruction_snr(original, decoded)
    if found != snr_db and not abs(found - snr_db) <= TOLERANCE_DB:
        raise ExportError(f"{weight.name}: expected {snr_db:.4f} dB from {recipe.name}, got {found:.4f} dB; report it")
    with program._module._mlir_module.context:
        with constant.location, import_coreai("coreai._compiler.ir").InsertionPoint(constant):
            value = decoding(stored, weight, recipe)
        constant.results[0].replace_all_uses_with(value)
        constant.erase()
    return Promise(weight.name, weight.shape, recipe.name, found, digest_of(decoded))


def decoded_weight(stored: Palette | Linear, weight: ProgramWeight) -> NDArray[np.float16]:
    """Return the weight that a stored form stands for."""
    if isinstance(stored, Palette):
        return decode_palette(stored.codes, stored.table, weight.output_axis)
    return decode_integers(stored.codes, stored.scale)


def decoding(stored: Palette | Linear, weight: ProgramWeight, recipe: Recipe) -> Any:
    """Write the operation that decodes a weight at the insertion point; returns its value."""
    ir, dialect = import_coreai("coreai._compiler.ir"), import_coreai("coreai._compiler.dialects.coreai")
    half = ir.F16Type.get()
    if isinstance(stored, Palette):
        axis = np.array(weight.output_axis if recipe.vector > 1 else 0, np.int16)
        return dialect.lut_to_dense(
            constant(stored.codes, ir.IntegerType.get_unsigned(recipe.bits)),
            constant(stored.table, half),
            constant(axis, ir.IntegerType.get_signed(16)),
        )
    whole, zeros = ir.IntegerType.get_signed(recipe.bits), np.zeros(stored.scale.shape, np.int8)
    return dialect.blockwise_shift_scale(
        constant(stored.codes, whole),
        constant(stored.scale, half),
        constant(zeros, whole),
        constant(zeros.astype(np.float16), half),
    )


def constant(numbers: NDArray[Any], element: Any) -> Any:
    """Write a constant of an element type, whose numbers may be narrower than a byte; returns its value."""
    ir = import_coreai("coreai._compiler.ir")
    elements = import_coreai("coreai._compiler.dialects.coreai.constant").create_elements_attr
    data = np.ascontiguousarray(pack_bits(numbers, element.width) if element.width < 8 else numbers)
    data.flags.writeable = False
    attribute = elements(ir.Location.current, ir.RankedTensorType.get(numbers.shape, element), data)
    return import_coreai("coreai._compiler.dialects.coreai").ConstantOp(value=attribute).result


def digest_of(decoded: NDArray[np.float16]) -> bytes:
    """Return a hash of a decoded weight; negative zero counts as zero."""
    return hashlib.blake2b(np.ascontiguousarray(decoded + np.float16(0)).view(np.uint8).data, digest_size=16).digest()
