"""Reads how many transformer blocks each spatial transformer of a diffusers U-Net has (SDXL's `depths`).

An option is one number, one per level, or per level a list with one per transformer (SSD-1B, Segmind-Vega).
"""

from __future__ import annotations

from mobile_diffusion.formats.json_options import JsonOptions

DOWN, UP = "transformer_layers_per_block", "reverse_transformer_layers_per_block"

Depths = int | list[int]
"""Depth of every transformer of a level, or of each."""


def read_depths(options: JsonOptions, levels: int) -> tuple[list[Depths], list[Depths]]:
    """The depths per level on the way down and on the way up; the latter default to the former, reversed.

    Raises CheckpointError for what are not numbers, and for lists on the way down alone, as diffusers does.
    """
    down = _read(options, DOWN, options.value(DOWN, 1), levels)
    given = options.value(UP)
    if given is not None:
        return down, _read(options, UP, given, levels)
    if any(isinstance(depth, list) for depth in down):
        raise options.wrong(UP, f"a list, as {DOWN} has lists inside", None)
    return down, down[::-1]


def depths_of(options: JsonOptions, depth: Depths, transformers: int) -> tuple[int, ...]:
    """The depth of each of a level's transformers; () when all of them are 1.  Raises CheckpointError."""
    every = [depth] * transformers if isinstance(depth, int) else depth if transformers else []
    if len(every) != transformers or not all(one > 0 for one in every):
        raise options.wrong(f"{DOWN} or {UP}", f"{transformers} positive numbers for a level", depth)
    return () if set(every) <= {1} else tuple(every)


def _read(options: JsonOptions, name: str, value: object, levels: int) -> list[Depths]:
    values = [value] * levels if type(value) is int else value
    if not isinstance(values, list) or len(values) != levels or not all(map(_is_depth, values)):
        raise options.wrong(name, f"a number, or {levels} numbers or lists of numbers", value)
    return list(values)


def _is_depth(value: object) -> bool:
    return type(value) is int or (isinstance(value, list) and len(value) > 0 and all(type(one) is int for one in value))
