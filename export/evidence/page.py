"""report.html, README.md, latency.json and layers.json: written again from the bundle's figures, and compared.

Times cannot be measured again, so latency.json is only read strictly.  The pictures of the runtimes must look like the
ones that were just drawn, which may differ by the order of sums; the pictures of PyTorch are the golden ones.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import metadata
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.bundle.bundle import Bundle
from export.evidence.difference import ABSENT, Difference, differing
from export.evidence.plan import plan_of
from export.job.card import CARD_FILE, render_card
from export.job.layers import LAYERS_FILE, Layer, measure_layers, read_layers
from export.job.manifest_description import CHARTS
from export.job.page import LATENCY_FILE, PAGE_FILE, Evidence, render
from export.latency.reading import read_latency
from export.parity.compare import Pictures
from export.parity.report import ParityReport
from export.parity.trajectories import Trajectory
from export.runtime import Runtime
from export.targets import TORCH
from mobile_diffusion.checkpoint import AnyModel
from mobile_diffusion.decibels import psnr_db
from mobile_diffusion.errors import BundleError, ParityError
from mobile_diffusion.quoting import shortened
from mobile_diffusion.strict_json import parse_json

CHECK = "report"
SAME_PICTURE_DB = 35.0
"""PSNR of two pictures in which the object is the same and edges differ faintly."""
SAME_RANGE, SAME_DB = 0.02, 3.0
"""How far the largest number of a layer, as a share, and its error in float16 may be from those measured now."""
_PNG = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]*)")


def check_latency(bundle: Bundle) -> list[Difference]:
    """latency.json has the form of one, with the times of PyTorch and of every runtime that was run."""
    path = bundle.path / LATENCY_FILE
    report = read_latency(path)
    values = parse_json(path.read_text(encoding="utf-8"))
    made = json.loads(json.dumps(report.to_dict()))
    found = [Difference(CHECK, f"{LATENCY_FILE}: {place}", *pair) for place, *pair in differing(made, values)]
    wanted = [TORCH.name, *(entry.name for entry in bundle.manifest.runtimes if entry.verified)]
    names = [runner.runner.partition("-")[0] for runner in report.runners]  # "coreml-interpreter" runs coreml
    if names != wanted:
        found.append(Difference(CHECK, f"{LATENCY_FILE}: runners", ", ".join(wanted), ", ".join(names)))
    return found


def check_page(
    bundle: Bundle, recorded: ParityReport, trajectories: Sequence[Trajectory], drawn: Pictures, depth: str
) -> list[Difference]:
    """Every line and picture of report.html that is not the one that the bundle's figures give.

    A runtime's picture must look like the one `drawn` now; differences are then taken from the page's own pictures.
    """
    try:
        kept = (bundle.path / PAGE_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        got = type(error).__name__
        raise BundleError(f"{bundle.path / PAGE_FILE}: expected a page, got {got}; export the bundle again") from None
    plan = plan_of(bundle, depth, 1)
    found = list(map(_pixels, _PNG.findall(kept)))
    pictures, wrong = _own_pictures(plan.compared, trajectories, found, drawn)
    latency, layers = read_latency(bundle.path / LATENCY_FILE), read_layers(bundle.path)
    again = render(
        Evidence(bundle.manifest, bundle.settings(), plan, recorded, latency, layers, trajectories, pictures)
    )
    return [*_check_text(again, kept, _same_charts(bundle)), *wrong, *_check_pictures(again, found, wrong)]


def check_card(bundle: Bundle, recorded: ParityReport, depth: str) -> list[Difference]:
    """Every line of the model card that is not the one that the bundle's figures give."""
    path = bundle.path / CARD_FILE
    try:
        kept = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        got = type(error).__name__
        raise BundleError(f"{path}: expected a model card, got {got}; export the bundle again") from None
    again = render_card(bundle.manifest, plan_of(bundle, depth, 1), recorded)
    return list(_differing_lines(CARD_FILE, again.splitlines(), kept.splitlines()))


def unchecked_charts(bundle: Bundle) -> list[str]:
    """What of the page is not compared, in words."""
    return [] if _same_charts(bundle) else ["charts of report.html, which another version of matplotlib drew"]


def check_layers(
    bundle: Bundle, source: AnyModel, trajectories: Sequence[Trajectory], threads: int
) -> list[Difference]:
    """layers.json says what the checkpoint's layers compute now, up to the order of sums."""
    kept = read_layers(bundle.path)
    plan = replace(plan_of(bundle, "step", threads), threads=threads)
    again = measure_layers(source, plan, trajectories[0], bundle.settings())
    pairs = zip_longest(again.layers, kept.layers)
    return [
        Difference(CHECK, f"{LAYERS_FILE}: layers[{number}]", str(wanted), str(found))
        for number, (wanted, found) in enumerate(pairs)
        if wanted is None or found is None or not _same_layer(wanted, found)
    ]


def _same_layer(wanted: Layer, found: Layer) -> bool:
    named = [(each.stage, each.module, each.kind, each.weights) for each in (wanted, found)]
    numbers = (wanted.largest, found.largest), (wanted.half_db, found.half_db)
    if named[0] != named[1] or any((one is None) != (other is None) for one, other in numbers):
        return False
    (high, kept_high), (ratio, kept_ratio) = (tuple(each or 0.0 for each in pair) for pair in numbers)
    return abs(high - kept_high) <= SAME_RANGE * max(high, kept_high) and abs(ratio - kept_ratio) <= SAME_DB


def _same_charts(bundle: Bundle) -> bool:
    """Whether the library that draws the charts is the one of the export."""
    versions = {tool.name: tool.version for tool in bundle.manifest.tools}
    return versions.get(CHARTS) == metadata.version(CHARTS)


Pixels = NDArray[np.float32] | None
"""A picture (1, 3, H, W) in [0, 1]; None for what is none."""


def _own_pictures(
    runtimes: Sequence[Runtime], trajectories: Sequence[Trajectory], found: Sequence[Pixels], drawn: Pictures
) -> tuple[Pictures, list[Difference]]:
    """The page's own pictures of every runtime where they look like the drawn ones, and those that do not.

    For each case the page has PyTorch's picture, then two of every runtime: its own, and the difference.
    """
    pictures, wrong = dict(drawn), []
    row = 1 + 2 * len(runtimes)
    for number, trajectory in enumerate(trajectories):
        for column, runtime in enumerate(runtimes):
            place, key = number * row + 1 + 2 * column, (runtime.name, str(trajectory.case))
            picture = found[place] if place < len(found) else None
            if picture is not None and _alike(drawn[key], picture):
                pictures[key] = picture
            else:
                expected = f"a picture at {SAME_PICTURE_DB:g} dB from the one drawn now"
                wrong.append(Difference(CHECK, f"{PAGE_FILE}: picture {place + 1}", expected, "another"))
    return pictures, wrong


def _check_text(again: str, kept: str, charts: bool) -> Iterator[Difference]:
    """The lines without their pictures, and without their charts unless these are drawn alike."""
    pair = ([_bare(line, charts) for line in page.splitlines()] for page in (again, kept))
    return _differing_lines(PAGE_FILE, *pair)


def _differing_lines(file: str, again: Sequence[str], kept: Sequence[str]) -> Iterator[Difference]:
    for number, (wanted, found) in enumerate(zip_longest(again, kept), 1):
        if wanted != found:
            texts = (ABSENT if line is None else shortened(line.strip()) for line in (wanted, found))
            yield Difference(CHECK, f"{file}: line {number}", *texts)


def _bare(line: str, charts: bool) -> str:
    chart = not charts and re.fullmatch(r'<svg class="chart"[^<>]*>.*</svg>', line)
    return "(chart)" if chart else _PNG.sub("(picture)", line)


def _check_pictures(again: str, found: Sequence[Pixels], wrong: Sequence[Difference]) -> Iterator[Difference]:
    """PyTorch's pictures and the differences, to the pixel."""
    known = {each.place for each in wrong}
    for number, (uri, kept) in enumerate(zip(_PNG.findall(again), found, strict=False), 1):
        wanted, place = _pixels(uri), f"{PAGE_FILE}: picture {number}"
        same = wanted is not None and kept is not None and np.array_equal(wanted, kept)
        if not same and place not in known:
            yield Difference(CHECK, place, "the picture that the golden vectors and its neighbours give", "another")


def _alike(drawn: NDArray[np.float32], found: NDArray[np.float32]) -> bool:
    try:
        return psnr_db(drawn, found) >= SAME_PICTURE_DB
    except ParityError:  # of another size
        return False


def _pixels(text: str) -> Pixels:
    """A PNG in base64 as floats, exactly those that `image_to_uint8` turns into its pixels."""
    try:
        data = io.BytesIO(base64.b64decode(text, validate=True))
        pixels = np.asarray(Image.open(data, formats=["PNG"]).convert("RGB"), np.float32) / np.float32(255)
    except (ValueError, OSError, SyntaxError):  # not base64, or not a picture
        return None
    return pixels.transpose(2, 0, 1)[None]  # (H, W, 3) -> (1, 3, H, W)
