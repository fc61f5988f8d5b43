"""Formulas as MathML, which browsers draw themselves: no script, no font and no network."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import latex2mathml

SIZES = re.compile(r"\\[bB]ig+[lrm]?(?![a-zA-Z])")
"""Sizes of brackets, which docutils does not know; MathML's brackets grow by themselves."""


def mathml(latex: str, block: bool) -> str:
    """A formula in LaTeX as a MathML element."""
    return latex2mathml.tex2mathml(SIZES.sub("", latex).strip(), as_block=block)


def draw_inline(writer: Any, node: nodes.math) -> None:
    """Inside a line."""
    writer.body.append(mathml(node.astext(), block=False))
    raise nodes.SkipNode


def draw_block(writer: Any, node: nodes.math_block) -> None:
    """In a line of its own."""
    writer.body.append(f'<div class="formula">{mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (draw_inline, None), (draw_block, None))
    return {"parallel_read_safe": True}
