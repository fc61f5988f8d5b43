"""The model card of a bundle: README.md with the front matter that Hugging Face reads.

It holds no time and no date, so that two exports of one checkpoint have the same card.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
import yaml

from export.bundle.manifest import Manifest
from export.job.command import CHECKPOINT, asked_steps, reproduce
from export.job.plan import ExportPlan
from export.parity.report import PARITY_COLUMNS, ParityReport, cells
from export.targets import find_target

CARD_FILE = "README.md"
TEMPLATE = Path(__file__).with_name("card.md")
LICENCES = (
    "apache-2.0",
    "bsd-3-clause",
    "cc-by-4.0",
    "cc-by-nc-4.0",
    "cc-by-sa-4.0",
    "cc0-1.0",
    "creativeml-openrail-m",
    "mit",
    "openrail",
    "openrail++",
)
"""Identifiers of licences that Hugging Face knows and that models of this kind have."""
LIBRARIES = {
    "coreml": "coreml",
    "coreai": "coreai",
    "executorch": "executorch",
    "onnx": "onnx",
    "qnn": "executorch",
    "vulkan": "executorch",
    "xnnpack": "executorch",
}
"""Runtime -> its tag."""


def render_card(manifest: Manifest, plan: ExportPlan, parity: ParityReport) -> str:
    """The card as Markdown; text of the model is escaped."""
    environment = jinja2.Environment(
        autoescape=False,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        front_matter=yaml.safe_dump(front_matter(manifest), sort_keys=False, allow_unicode=True).strip(),
        manifest=manifest,
        target=find_target(manifest.target),
        plan=plan,
        steps=asked_steps(manifest.schedule),
        parity=parity,
        columns=PARITY_COLUMNS[:-1],
        rows=[cells(row)[:-1] for row in parity.rows()],
        command=reproduce(manifest, plan.depth),
        checkpoint=CHECKPOINT,
        plain=plain,
    )


def front_matter(manifest: Manifest) -> dict[str, Any]:
    """What Hugging Face reads: licence, task and tags."""
    model, licence = manifest.model, manifest.model.licence.lower()
    tags = dict.fromkeys(LIBRARIES.get(runtime.name, runtime.name) for runtime in manifest.runtimes)
    named = {"license": licence} if licence in LICENCES else {"license": "other", "license_name": model.licence}
    return {
        **named,
        "pipeline_tag": "text-to-image",
        "library_name": "mobile-diffusion",
        "tags": [*tags, manifest.target, "text-to-image", "diffusion", "mobile"],
    }


def plain(text: str) -> str:
    r"""Text as Markdown shows it literally, on one line.

    >>> print(plain("a*b\n<c>"))
    a\*b \<c\>
    """
    return re.sub(r"([\\`*_{}\[\]<>#|~$])", r"\\\1", " ".join(text.split()))
