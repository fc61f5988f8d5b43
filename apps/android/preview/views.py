"""Layouts as HTML: each view a box with the CSS that measures as Android does, for the views and attributes in use."""

from __future__ import annotations

import html
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from drawables import background, vector
from resources import Attributes, Resources, attributes

SIDES = ("Left", "Top", "Right", "Bottom")
TEXTS = ("TextView", "Button", "EditText")


@dataclass(frozen=True)
class Scene:
    """What the app's code puts into a layout, by the id of a view; the rest is the layout's own."""

    texts: Mapping[str, str] = field(default_factory=dict)
    pictures: Mapping[str, str] = field(default_factory=dict)
    """A picture's address."""
    selected: frozenset[str] = frozenset()
    shown: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    progress: float | None = None
    """Of the progress bar, 0 to 1."""
    children: Mapping[str, Sequence[tuple[str, Scene]]] = field(default_factory=dict)
    """Layouts that are put into a view, and their scenes."""


class Renderer:
    """Turns the layouts of one mode, by day or by night, into HTML."""

    def __init__(self, resources: Resources) -> None:
        self.resources = resources

    def layout(self, name: str, scene: Scene) -> str:
        return self.view(self.resources.layout(name), scene, "column")

    def view(self, element: ET.Element, scene: Scene, direction: str, extra: Attributes | None = None) -> str:
        """`direction` is the parent's: "row", "column", or "stack" for frames."""
        own = attributes(element)
        if element.tag == "include":
            return self.view(self.resources.layout(own["layout"].removeprefix("@layout/")), scene, direction)
        values = {**self.resources.styles.get(own.get("style", "").removeprefix("@style/"), {}), **own, **(extra or {})}
        name = values.get("id", "").rpartition("/")[2]
        selected = name in scene.selected or (not name and "" in scene.selected)
        visible = values.get("visibility", "visible") == "visible" or name in scene.shown
        if name in scene.hidden or (not visible and values["visibility"] == "gone"):
            return ""
        css = {**self._place(values, direction), **self._box(values, selected)}
        if not visible:
            css["visibility"] = "hidden"
        inner = self._content(element, values, name, scene, selected, css)
        style = ";".join(f"{key}:{value}" for key, value in css.items())
        return f'<div style="{html.escape(style)}">{inner}</div>'

    def _place(self, values: Attributes, direction: str) -> dict[str, str]:
        """Size and margins, as the parent lays its children out."""
        pixels = self.resources.pixels
        css = {"flex": "none"}
        for side, axis in (("width", "row"), ("height", "column")):
            size = values.get(f"layout_{side}", "wrap_content")
            if size == "match_parent":
                css |= {side: "100%"} if direction != axis else {"flex": "1 1 0"}
            elif size != "wrap_content" and not ("layout_weight" in values and direction == axis):
                css[side] = f"{pixels(size):g}px"
        if "layout_weight" in values:
            css |= {"flex": f"{values['layout_weight']} 1 0", f"min-{'width' if direction == 'row' else 'height'}": "0"}
        everywhere = values.get("layout_margin", "0dp")
        ends = {"Left": values.get("layout_marginStart"), "Right": values.get("layout_marginEnd")}
        margins = [values.get(f"layout_margin{side}") or ends.get(side) or everywhere for side in SIDES]
        left, top, right, bottom = (pixels(each) for each in margins)
        css["margin"] = f"{top:g}px {right:g}px {bottom:g}px {left:g}px"
        gravity = values.get("layout_gravity", "")
        if direction == "stack":
            css |= {"align-self": "end" if "bottom" in gravity else "center" if "center" in gravity else "start"}
            css |= {"justify-self": "end" if "end" in gravity else "center" if "center" in gravity else "start"}
            css["grid-area"] = "1/1"
        return css

    def _box(self, values: Attributes, selected: bool) -> dict[str, str]:
        pixels = self.resources.pixels
        everywhere = values.get("padding", "0dp")
        left, top, right, bottom = (pixels(values.get(f"padding{side}", everywhere)) for side in SIDES)
        css = {"padding": f"{top:g}px {right:g}px {bottom:g}px {left:g}px"}
        for name, key in (("minHeight", "min-height"), ("minWidth", "min-width"), ("maxWidth", "max-width")):
            if name in values:
                css[key] = f"{pixels(values[name]):g}px"
        if "background" in values:
            css |= background(self.resources, values["background"], selected)
        return css

    def _content(
        self, element: ET.Element, values: Attributes, name: str, scene: Scene, selected: bool, css: dict[str, str]
    ) -> str:
        tag = element.tag.rpartition(".")[2]
        if tag in TEXTS:
            return self._text(values, name, scene, selected, css)
        if tag in ("ImageView", "ImageButton", "MaskView"):
            return self._image(values, name, scene, css)
        if tag == "ProgressBar":
            return self._progress(scene, css)
        direction = "stack"
        if tag in ("LinearLayout", "ScrollView", "HorizontalScrollView"):
            direction = "column" if values.get("orientation") == "vertical" or tag == "ScrollView" else "row"
            gravity = values.get("gravity", "")
            align = "center" if "center_vertical" in gravity else "end" if "bottom" in gravity else "stretch"
            css |= {"display": "flex", "flex-direction": direction}
            css["align-items"] = align if direction == "row" else "flex-start"
        elif tag == "GridView":
            css |= {"display": "grid", "grid-template-columns": "repeat(auto-fill, minmax(150px, 1fr))"}
            css |= {"gap": f"{self.resources.pixels(values['verticalSpacing']):g}px", "align-content": "start"}
            direction = "column"
        else:  # frames: children lie over each other
            css |= {"display": "grid", "grid-template": "100%/100%", "position": "relative", "overflow": "hidden"}
            if tag == "SquareFrame":
                css["aspect-ratio"] = "1"
        if tag == "HorizontalScrollView":
            css["overflow"] = "hidden"
        inner = "".join(self.view(child, scene, direction) for child in element)
        for layout, filled in scene.children.get(name, ()):
            inner += self.view(self.resources.layout(layout), filled, direction)
        return inner

    def _text(self, values: Attributes, name: str, scene: Scene, selected: bool, css: dict[str, str]) -> str:
        resources = self.resources
        text = scene.texts.get(name, resources.value(values.get("text", "")))
        color = values.get("textColor", "@color/text")
        if not text and "hint" in values:
            text, color = resources.value(values["hint"]), values.get("textColorHint", color)
        css |= {"color": resources.color(color, selected), "font-size": f"{resources.pixels(values['textSize']):g}px"}
        css |= {"line-height": "1.3", "white-space": "pre-wrap"}
        if values.get("fontFamily") == "sans-serif-medium":
            css["font-weight"] = "500"
        gravity = values.get("gravity", "start")
        css["text-align"] = {"center": "center", "end": "right"}.get(gravity, "left")
        css |= {"display": "flex", "flex-direction": "column"}
        css["justify-content"] = "center"
        icon = ""
        if "drawableTop" in values:
            tint = resources.color(values["drawableTint"], selected)
            icon = f'<span style="align-self:center">{vector(resources, values["drawableTop"], tint)}</span>'
        cut = "overflow:hidden;text-overflow:ellipsis;white-space:nowrap" if values.get("maxLines") == "1" else ""
        return f'{icon}<span style="{cut}">{html.escape(text)}</span>'

    def _image(self, values: Attributes, name: str, scene: Scene, css: dict[str, str]) -> str:
        if "src" in values:
            css |= {"display": "flex", "align-items": "center", "justify-content": "center"}
            return vector(self.resources, values["src"], self.resources.color(values.get("tint", "@color/text")))
        if name not in scene.pictures:
            return ""
        css["height"] = "100%"
        fit = "width:100%;height:100%;object-fit:contain;display:block"
        return f'<img src="{scene.pictures[name]}" style="{fit}">'

    def _progress(self, scene: Scene, css: dict[str, str]) -> str:
        css |= {"height": "16px", "display": "flex", "align-items": "center"}
        accent, part = self.resources.color("@color/accent"), 100 * (scene.progress or 0)
        bar = (
            f"width:100%;height:4px;border-radius:2px;background:linear-gradient(90deg,{accent} {part:g}%,{accent}40 0)"
        )
        return f'<div style="{bar}"></div>'
