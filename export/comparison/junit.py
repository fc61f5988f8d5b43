"""The result of `verify` as a JUnit file, which build servers show: one test case per check."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from export.comparison.baseline import Regression
from export.verify import Verification
from mobile_diffusion.cli.terminal import printable
from mobile_diffusion.decibels import db_text
from mobile_diffusion.staging import write_bytes

EVIDENCE = ("description", "schedule", "golden vectors", "tokenizer", "figures", "report", "preview")
"""The kinds of checks that need no gate (`Difference.check`)."""


def junit(found: Verification, worse: Sequence[Regression] | None) -> str:
    """The document; `worse` is None if there was no baseline."""
    suite = ElementTree.Element("testsuite", name=f"mobile-diffusion verify {printable(str(found.bundle))}")
    for kind in EVIDENCE:
        problems = [str(each) for each in found.differences if each.check == kind]
        _case(suite, "evidence", kind, problems)
    for row in found.parity.rows():
        limit = f"{row.metric} {db_text(row.worst)}, expected {row.limit:g} dB"
        _case(suite, f"parity.{row.runtime}", row.check, [] if row.passed else [limit])
    if worse is not None:
        _case(suite, "baseline", "figures", [str(each) for each in worse])
    if not found.parity.precisions:
        case = ElementTree.SubElement(suite, "testcase", classname="parity", name="programs")
        ElementTree.SubElement(case, "skipped", message="not run, because of the contradictions")
    for name, tag in (("tests", "testcase"), ("failures", "testcase/failure"), ("skipped", "testcase/skipped")):
        suite.set(name, str(len(suite.findall(tag))))
    suite.set("errors", "0")
    root = ElementTree.Element("testsuites")
    root.append(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def write_junit(path: Path, found: Verification, worse: Sequence[Regression] | None) -> None:
    """Write the file, whole or not at all."""
    write_bytes(junit(found, worse).encode(), path)


def _case(suite: ElementTree.Element, group: str, name: str, problems: Sequence[str]) -> None:
    case = ElementTree.SubElement(suite, "testcase", classname=group, name=name)
    if problems:
        text = [printable(each) for each in problems]
        ElementTree.SubElement(case, "failure", message=text[0]).text = "\n".join(text)
