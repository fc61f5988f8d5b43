"""Drawables as CSS and SVG: shapes, ripples, selectors, and vectors, whose paths are SVG's."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from resources import Resources, attributes


def background(resources: Resources, reference: str, selected: bool) -> dict[str, str]:
    """CSS of a view's background."""
    if reference.startswith("@color/"):
        return {"background": resources.color(reference, selected)}
    return _css(resources, resources.drawable(reference), selected)


def _css(resources: Resources, root: ET.Element, selected: bool) -> dict[str, str]:
    if root.tag == "shape":
        return _shape(resources, root)
    if root.tag == "selector":
        return _item(resources, resources.state(root, selected), selected)
    if root.tag == "ripple":  # at rest nothing but its content shows, and a mask never does
        content = next((item for item in root if "id" not in attributes(item)), None)
        return {} if content is None else _item(resources, content, selected)
    raise ValueError(f"expected a shape, a selector or a ripple, got {root.tag}; teach drawables.py what it is")


def _item(resources: Resources, item: ET.Element, selected: bool) -> dict[str, str]:
    if "drawable" in attributes(item):
        return background(resources, attributes(item)["drawable"], selected)
    return _css(resources, item[0], selected)


def _shape(resources: Resources, shape: ET.Element) -> dict[str, str]:
    css = {}
    for part in shape:
        values = attributes(part)
        if part.tag == "solid":
            css["background"] = resources.color(values["color"])
        elif part.tag == "corners":
            css["border-radius"] = f"{resources.pixels(values['radius']):g}px"
        elif part.tag == "stroke":  # Android draws it over the content, and gives it no room
            css["box-shadow"] = (
                f"inset 0 0 0 {resources.pixels(values['width']):g}px {resources.color(values['color'])}"
            )
        else:
            raise ValueError(f"expected solid, corners or stroke, got {part.tag}; teach drawables.py what it is")
    return css


def vector(resources: Resources, reference: str, color: str) -> str:
    """A vector as SVG in one colour, as a tint makes it."""
    root = resources.drawable(reference)
    values = attributes(root)
    paths = "".join(_path(attributes(path), color) for path in root)
    size = f'width="{resources.pixels(values["width"]):g}" height="{resources.pixels(values["height"]):g}"'
    return f'<svg {size} viewBox="0 0 {values["viewportWidth"]} {values["viewportHeight"]}">{paths}</svg>'


def _path(values: dict[str, str], color: str) -> str:
    if "fillColor" in values:
        return f'<path fill="{color}" d="{values["pathData"]}"/>'
    line = f'stroke-width="{values["strokeWidth"]}" stroke-linecap="round" stroke-linejoin="round"'
    return f'<path fill="none" stroke="{color}" {line} d="{values["pathData"]}"/>'
