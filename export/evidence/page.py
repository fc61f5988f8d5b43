"""report.html and latency.json: the page is written again from the bundle's figures, and compared line by line.

Times cannot be measured again, so latency.json is only read strictly.  The pictures of the runtimes are those that were
just drawn, which may differ by the order of sums; the pictures of PyTorch are the golden ones.
"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.bundle.bundle import Bundle
from export.evidence.difference import ABSENT, Difference, differing
from export.evidence.plan import plan_of
from export.job.page import LATENCY_FILE, PAGE_FILE, render
from export.latency.measure import LatencyReport
from export.latency.reading import read_latency
from export.parity.compare import Pictures
from export.parity.report import ParityReport
from export.parity.trajectories import Trajectory
from export.targets import TORCH, find_target
from mobile_diffusion.decibels import psnr_db
from mobile_diffusion.errors import BundleError, ParityError
from mobile_diffusion.quoting import shortened

CHECK = "report"
SAME_PICTURE_DB = 35.0
"""PSNR of two pictures in which the object is the same and edges differ faintly."""
_PNG = re.compile(r"data:image/png;base64,([A-Za-z0-9+/=]*)")


def check_latency(bundle: Bundle) -> list[Difference]:
    """latency.json has the form of one, with the times of PyTorch and of every runtime that was run."""
    path = bundle.path / LATENCY_FILE
    report = read_latency(path)
    values = json.loads(path.read_text(encoding="utf-8"))
    made = json.loads(json.dumps(report.to_dict()))
    found = [Difference(CHECK, f"{LATENCY_FILE}: {place}", *pair) for place, *pair in differing(made, values)]
    wanted = [TORCH.name, *(entry.name for entry in bundle.manifest.runtimes if entry.verified)]
    names = [runner.runner.partition("-")[0] for runner in report.runners]  # "coreml-interpreter" runs coreml
    if names != wanted:
        found.append(Difference(CHECK, f"{LATENCY_FILE}: runners", ", ".join(wanted), ", ".join(names)))
    return found


def check_page(
    bundle: Bundle, recorded: ParityReport, trajectories: Sequence[Trajectory], pictures: Pictures, depth: str
) -> list[Difference]:
    """Every line of report.html that is not the one that the bundle's figures give."""
    manifest = bundle.manifest
    latency: LatencyReport = read_latency(bundle.path / LATENCY_FILE)
    plan = plan_of(bundle, depth, 1)
    settings, target = bundle.settings(), find_target(manifest.target)
    again = render(manifest.model.name, settings, target, plan, recorded, latency, trajectories, pictures)
    try:
        kept = (bundle.path / PAGE_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        got = type(error).__name__
        raise BundleError(f"{bundle.path / PAGE_FILE}: expected a page, got {got}; export the bundle again") from None
    return [*_check_text(again, kept), *_check_pictures(again, kept)]


def _check_text(again: str, kept: str) -> Iterator[Difference]:
    """The lines without their pictures."""
    pair = (_PNG.sub("(picture)", page).splitlines() for page in (again, kept))
    for number, (wanted, found) in enumerate(zip_longest(*pair), 1):
        if wanted != found:
            texts = (ABSENT if line is None else shortened(line.strip()) for line in (wanted, found))
            yield Difference(CHECK, f"{PAGE_FILE}: line {number}", *texts)


def _check_pictures(again: str, kept: str) -> Iterator[Difference]:
    for number, (wanted, found) in enumerate(zip_longest(_PNG.findall(again), _PNG.findall(kept)), 1):
        if wanted is None or found is None:
            continue  # the texts differ, too
        if wanted != found and not _alike(wanted, found):
            where = f"{PAGE_FILE}: picture {number}"
            yield Difference(CHECK, where, f"a picture at {SAME_PICTURE_DB:g} dB from the one drawn now", "another")


def _alike(wanted: str, found: str) -> bool:
    try:
        return psnr_db(_pixels(wanted), _pixels(found)) >= SAME_PICTURE_DB
    except (ValueError, OSError, ParityError):  # not base64, not a picture, or of another size
        return False


def _pixels(text: str) -> NDArray[np.float64]:
    """A PNG in base64 as (H, W, 3) in [0, 1]."""
    data = io.BytesIO(base64.b64decode(text, validate=True))
    return np.asarray(Image.open(data, formats=["PNG"]).convert("RGB"), np.float64) / 255
