"""The resources as aapt would resolve them: strings, colours, dimensions, styles and drawables, by day or night."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

ANDROID = "{http://schemas.android.com/apk/res/android}"
Attributes = dict[str, str]


def attributes(element: ET.Element) -> Attributes:
    """Of an element, without the namespace."""
    return {name.removeprefix(ANDROID): value for name, value in element.attrib.items()}


class Resources:
    """What `@kind/name` stands for; a folder `values-night` covers `values` when it is dark."""

    def __init__(self, folder: Path, dark: bool) -> None:
        self.folder = folder
        self.values: dict[str, str] = {"android:color/white": "#FFFFFF", "android:color/black": "#000000"}
        self.styles: dict[str, Attributes] = {}
        for place in ("values", *(["values-night"] if dark else [])):
            for file in sorted((folder / place).glob("*.xml")):
                self._read(ET.parse(file).getroot())

    def _read(self, root: ET.Element) -> None:
        for item in root:
            name = item.attrib.get("name", "")
            if item.tag == "style":
                base = self.styles.get(name.rpartition(".")[0], {}) if "parent" not in item.attrib else {}
                own = {each.attrib["name"].removeprefix("android:"): (each.text or "") for each in item}
                self.styles[name] = {**base, **own}
            else:
                self.values[f"{item.tag}/{name}"] = (item.text or "").replace("\\n", "\n").replace("\\'", "'")

    def value(self, text: str) -> str:
        """What a reference stands for in the end; any other text is itself."""
        while text.startswith("@") and text[1:].removeprefix("+") in self.values:
            text = self.values[text[1:].removeprefix("+")]
        return text

    def pixels(self, text: str) -> float:
        """A dimension in CSS pixels, one for each dp and sp."""
        return float(self.value(text).removesuffix("dp").removesuffix("sp").removesuffix("px"))

    def color(self, text: str, selected: bool = False) -> str:
        """A colour for CSS; of a state list, that of the state.  Android writes alpha first, CSS last."""
        if text.startswith("@color/") and (self.folder / "color" / f"{text[7:]}.xml").is_file():
            items = ET.parse(self.folder / "color" / f"{text[7:]}.xml").getroot()
            text = attributes(self.state(items, selected))["color"]
        found = self.value(text)
        return f"#{found[3:]}{found[1:3]}" if len(found) == 9 else found

    @staticmethod
    def state(items: ET.Element, selected: bool) -> ET.Element:
        """The first item of a selector that fits."""
        return next(item for item in items if selected or attributes(item).get("state_selected") != "true")

    def drawable(self, reference: str) -> ET.Element:
        """The root of a drawable's file."""
        kind, _, name = reference.removeprefix("@").partition("/")
        return ET.parse(self.folder / kind / f"{name}.xml").getroot()

    def layout(self, name: str) -> ET.Element:
        """The root of a layout's file."""
        return ET.parse(self.folder / "layout" / f"{name}.xml").getroot()
