"""Renames the tensors of a layout from latent diffusion's names to ours, and splits fused projections."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.compvis_names import ATTENTIONS, FUSED, NameTable
from mobile_diffusion.formats.refused_families import WHOLE
from mobile_diffusion.quoting import quoted
from mobile_diffusion.tensor_layout import Layout, Stored

PROJECTION = "text_projection.weight"
"""The layer that OpenCLIP stores as the transpose of ours."""
ROWS = ("q_proj", "k_proj", "v_proj")
"""The layers whose rows OpenCLIP's fused attention contains, in order."""


def renamed(file: Path, layout: Layout, names: NameTable) -> Layout:
    """Rename the tensors of a layout to ours; raise CheckpointError naming one that is not part of the network."""
    ours = {name: names.ours(name) for name in layout}
    unknown = sorted(layout[name].name for name, our_name in ours.items() if our_name is None)
    if unknown:
        more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
        raise CheckpointError(f"{file}: tensor {quoted(unknown[0])}{more}: expected none of that name; {WHOLE}")
    layout_of_ours: Layout = {}
    for name, our_name in ours.items():
        layout_of_ours |= _split(our_name or name, layout[name])
    return layout_of_ours


def _split(name: str, stored: Stored) -> Layout:
    """Convert one tensor of the file to ours.

    A fused attention projection becomes three tensors.  A 1x1 convolution becomes a matrix if our layer is linear.
    A projection that is stored transposed is marked.
    """
    if FUSED in name and stored.shape:
        count = stored.shape[0] // len(ROWS)
        shape = (count, *stored.shape[1:])
        thirds = [(index * count, (index + 1) * count) for index in range(len(ROWS))]
        return {
            name.replace(FUSED, row): dataclasses.replace(stored, shape=shape, rows=rows)
            for row, rows in zip(ROWS, thirds, strict=True)
        }
    if name == PROJECTION:
        return {name: dataclasses.replace(stored, shape=stored.shape[::-1], transposed=True)}
    if name.startswith(ATTENTIONS) and all(side == 1 for side in stored.shape[2:]):
        return {name: dataclasses.replace(stored, shape=stored.shape[:2])}
    return {name: stored}
