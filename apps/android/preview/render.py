"""Renders the app's screens from its own layouts, with pictures that the model draws on this computer.

The layouts, strings, colours, dimensions and drawables are the app's files; the host program (`make host`) draws and
measures their contents here. Headless Chromium lays out the boxes. It is no phone: Android's own text and widgets look
a little different, and the captions say so.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from resources import Resources
from views import Renderer, Scene

HERE = Path(__file__).parent
RESOURCES = HERE.parent / "app" / "src" / "main" / "res"
DRAW = HERE.parent / "build" / "host" / "draw"
WIDTH, HEIGHT, LONG, SCALE = 360, 760, 1100, 1.5
CAPTION = "A rendering of the app’s layouts; pictures and times are this computer’s. Not a phone."
DRAWINGS = (("rocket", 5), ("red heart", 2), ("automobile", 3), ("pizza", 4), ("cat face", 5), ("red apple", 3))
STYLE = "3d"
STAGES = {"encode_text": "Text encoder", "denoise": "Denoiser", "decode_image": "Image decoder"}


@dataclass(frozen=True)
class Drawn:
    """A picture of the model, with its prompt, seed and time."""

    prompt: str
    seed: int
    picture: str
    """Address of the PNG."""
    seconds: str


def draw(bundle: Path, prompt: str, seed: int, folder: Path) -> Drawn:
    """Draw on this computer with the app's core and runner."""
    raw = folder / f"{prompt}-{seed}.rgb"
    command = (DRAW, "--bundle", bundle, "--prompt", f"{prompt}, {STYLE}", "--seed", seed, "--out", raw, "--threads", 1)
    size = json.loads(run(*command))
    png = raw.with_suffix(".png")
    Image.frombytes("RGB", (size["width"], size["height"]), raw.read_bytes()).save(png)
    return Drawn(prompt, seed, png.as_uri(), f"{size['milliseconds'] / 1000:.1f}")


def run(*command: object) -> str:
    """Standard output of a program that must succeed."""
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def draw_screen(drawn: Drawn, manifest: dict[str, Any], start: Drawn | None = None) -> Scene:
    """The screen of drawing, with what the model offers; with a picture to start from it is longer than a phone."""
    styles = ["none", *manifest["model"]["styles"]]
    chips = [("chip", Scene({"": each}, selected=frozenset({""} if each == STYLE else {}))) for each in styles]
    titles = ("no weights", "(word:1.3)", "word++")
    syntaxes = [("chip", Scene({"": each}, selected=frozenset({""} if each == titles[0] else {}))) for each in titles]
    guided = manifest["schedule"]["guidance_kind"] == "cfg"
    return Scene(
        texts={
            "model": "emoji",
            "status": f"Drawn in {drawn.seconds} s",
            "prompt": drawn.prompt,
            "seed": f"{drawn.seed}",
            "guidance": "3.0",
            "pictures": "1",
            "strength": "0.8",
        },
        pictures={"picture": drawn.picture, "start": start.picture if start else ""},
        selected=frozenset({"tab_draw"}),
        shown=frozenset({"share", "start_field", "start_chosen", "start_clear"} if start else {"share"}),
        hidden=frozenset({"empty"} if guided else {"empty", "guidance_field"}),
        children={"styles": chips, "syntaxes": syntaxes},
    )


def hints_screen(drawn: Drawn, manifest: dict[str, Any], hint: Drawn) -> Scene:
    """The same with two ControlNets, of which one has its picture."""
    scene = draw_screen(drawn, manifest)
    texts = ({"hint_choose": f"Picture {number} of 2", "hint_scale": scale} for number, scale in ((1, "0.8"), (2, "1")))
    chosen, empty = texts
    rows = [
        ("hint", Scene(chosen, {"hint_picture": hint.picture}, shown=frozenset({"hint_picture"}))),
        ("hint", Scene(empty)),
    ]
    return dataclasses.replace(scene, shown=scene.shown | {"hints_field"}, children={**scene.children, "hints": rows})


def history_screen(drawings: list[Drawn]) -> Scene:
    cards = [
        (
            "history_card",
            Scene(
                {"prompt": f"{each.prompt}, {STYLE}", "details": f"seed {each.seed} · emoji"}, {"picture": each.picture}
            ),
        )
        for each in drawings
    ]
    return Scene(selected=frozenset({"tab_history"}), children={"grid": cards})


def benchmark_screen(report: dict[str, Any]) -> Scene:
    conditions, (runner,) = report["conditions"], report["runners"]
    rows = [
        (
            "benchmark_row",
            Scene(
                {
                    "stage": STAGES[stage["stage"]],
                    "median": f"{stage['median_ms']:.1f}",
                    "spread": f"{stage['spread_ms']:.1f}",
                    "count": f"{stage['runs']}",
                }
            ),
        )
        for stage in runner["stages"]
    ]
    machine = f"{conditions['processor']}\n{conditions['system']} · threads: {runner['threads']}"
    return Scene(
        texts={"model": "emoji", "runs": "10", "threads": "1", "status": "Times of emoji", "conditions": machine},
        selected=frozenset({"tab_benchmark"}),
        shown=frozenset({"results"}),
        children={"rows": rows},
    )


def page(name: str, scene: Scene, height: int) -> str:
    """A screen by day beside the same by night, above the caption."""
    screens = ""
    for dark in (False, True):
        resources = Resources(RESOURCES, dark)
        box = f"width:{WIDTH}px;height:{height}px;border-radius:28px;overflow:hidden;display:flex;flex-direction:column"
        edge = f"box-shadow:0 0 0 1px {resources.color('@color/outline')}"
        screens += f'<div style="{box};{edge}">{Renderer(resources).layout(name, scene)}</div>'
    style = "*{box-sizing:border-box}body{margin:0;padding:24px;background:#ECEAF1;font-family:Roboto,sans-serif}"
    row = f'<div style="display:flex;gap:24px">{screens}</div>'
    note = f'<div style="padding-top:14px;text-align:center;font-size:12px;color:#625D70">{CAPTION}</div>'
    return f'<!doctype html><meta charset="utf-8"><style>{style}</style><body>{row}{note}</body>'


def screenshot(text: str, out: Path, folder: Path, height: int) -> None:
    """Lay a page out with Chromium and keep its picture with 256 colours."""
    source, shot = folder / "page.html", folder / "page.png"
    source.write_text(text, encoding="utf-8")
    size = f"{2 * WIDTH + 72},{height + 78}"
    flags = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        f"--force-device-scale-factor={SCALE}",
    )
    run(
        "chromium",
        *flags,
        f"--user-data-dir={folder}/profile",
        f"--window-size={size}",
        f"--screenshot={shot}",
        source.as_uri(),
    )
    Image.open(shot).convert("RGB").quantize(256, kmeans=2).save(out, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    root = HERE.parents[2]
    parser.add_argument("--bundle", type=Path, default=root / "build" / "android")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = json.loads((options.bundle / "manifest.json").read_text(encoding="utf-8"))
        drawings = [draw(options.bundle, prompt, seed, folder) for prompt, seed in DRAWINGS]
        timed = (DRAW, "--bundle", options.bundle, "--prompt", "a red apple, 3d", "--threads", 1, "--benchmark", 10)
        report = json.loads(run(*timed))
        scenes = {
            "draw": draw_screen(drawings[0], manifest),
            "start": draw_screen(drawings[1], manifest, drawings[5]),
            "hints": hints_screen(drawings[1], manifest, drawings[5]),
            "history": history_screen(drawings),
            "benchmark": benchmark_screen(report),
        }
        for screen, scene in scenes.items():
            layout, height = ("draw", LONG) if screen in ("start", "hints") else (screen, HEIGHT)
            screenshot(page(layout, scene, height), options.out / f"android-{screen}.png", folder, height)


if __name__ == "__main__":
    main()
