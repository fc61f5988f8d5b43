"""The evidence in a bundle: parity.json, latency.json and report.html, one page that contains everything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from export.job.plan import ExportPlan
from export.latency.measure import LatencyReport
from export.mixed.names import names_of
from export.parity.compare import Pictures
from export.parity.gates import limits
from export.parity.report import PARITY_COLUMNS, ParityReport, cells
from export.parity.trajectories import Trajectory
from export.report.latency import LATENCY_COLUMNS, conditions, latency_rows
from export.report.pictures import png_uri
from export.targets import TORCH, Target
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.drawing import DrawSettings

TEMPLATE = Path(__file__).with_name("template.html")
PARITY_FILE, LATENCY_FILE, PAGE_FILE = "parity.json", "latency.json", "report.html"


def write_reports(
    folder: Path,
    model: ModelConfig,
    target: Target,
    plan: ExportPlan,
    parity: ParityReport,
    latency: LatencyReport,
    trajectories: Sequence[Trajectory],
    pictures: Pictures,
) -> None:
    """Write the three files into the folder of a bundle."""
    write_json(folder / PARITY_FILE, parity.to_json())
    write_json(folder / LATENCY_FILE, latency.to_dict())
    page = render(model.name, DrawSettings.of(model), target, plan, parity, latency, trajectories, pictures)
    (folder / PAGE_FILE).write_text(page, encoding="utf-8")


def write_json(path: Path, values: Any) -> None:
    """Write values as JSON; NaN and infinity are refused."""
    path.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def render(
    name: str,
    settings: DrawSettings,
    target: Target,
    plan: ExportPlan,
    parity: ParityReport,
    latency: LatencyReport,
    trajectories: Sequence[Trajectory],
    pictures: Pictures,
) -> str:
    """The page as HTML, for the model `name`; prompts and all other text are escaped."""
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        name=name,
        target=target,
        steps=settings.steps,
        guidance=trajectories[0].guidance,
        plan=plan,
        wide=[(each.title, ", ".join(names)) for each in plan.runtimes if (names := names_of(each.mixed_precision))],
        titles=[TORCH.title, *(runtime.title for runtime in plan.compared)],
        pictures=[_picture_row(plan, trajectory, pictures) for trajectory in trajectories],
        parity=parity,
        parity_columns=PARITY_COLUMNS,
        parity_rows=[cells(row) for row in parity.rows()],
        limits=_limits(plan, parity.guidance),
        latency_columns=LATENCY_COLUMNS,
        latency_rows=latency_rows(latency, settings.calls),
        conditions=conditions(latency),
    )


def _picture_row(plan: ExportPlan, trajectory: Trajectory, pictures: Pictures) -> dict[str, Any]:
    images = [trajectory.image]
    images += [pictures[runtime.name, str(trajectory.case)] for runtime in plan.compared]
    return {"label": str(trajectory.case), "uris": [png_uri(image) for image in images]}


def _limits(plan: ExportPlan, guidance: float) -> list[tuple[str, Any]]:
    """The limits of every grade and check of the plan."""
    grades = dict.fromkeys(runtime.grade for runtime in plan.compared)
    return [(name, limit) for name in grades for check in plan.checks for limit in limits(name, check, guidance)]
