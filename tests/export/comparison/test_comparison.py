"""Two bundles compared, baselines, and the JUnit file: each kind of change and of regression is shown."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from export.bundle.bundle import open_bundle
from export.comparison import summary as summaries
from export.comparison.baseline import Allowed, regressions, require_none
from export.comparison.compare import compare_bundles
from export.comparison.junit import junit
from export.comparison.summary import Summary, read_summary, summarise_bundle, write_summary
from export.evidence.difference import Difference
from export.job.run import Exported
from export.parity.report import ParityReport
from export.verify import Verification
from mobile_diffusion.errors import BundleError, ConfigError, ParityError
from tests.export.cli.test_commands import Command, assert_refused, command
from tests.export.evidence.planting import edit_bytes, edit_json, rehash

__all__ = ["command"]

Exports = Mapping[str, Exported]
Copy = Callable[[str], Path]
COMPARISON = Path(summaries.__file__).with_name("comparison.schema.json")


@pytest.fixture
def figures(exported: Exports) -> Summary:
    return summarise_bundle(exported["android"].bundle)


def test_a_bundle_and_its_copy_are_the_same(exported: Exports, copy_of: Copy) -> None:
    assert compare_bundles(exported["android"].bundle, open_bundle(copy_of("android"))) == []


def test_every_kind_of_change(exported: Exports, copy_of: Copy) -> None:
    path = copy_of("android")
    edit_bytes(path / "denoise.pte", -1, (path / "denoise.pte").read_bytes()[-1] ^ 1)
    (path / "decode_image.json").write_text((path / "decode_image.json").read_text() + " ")
    edit_json(path / "manifest.json", lambda values: values["model"].update(name="other"))
    edit_json(path / "manifest.json", lambda values: values["parity"][0].update(worst=90.0))
    edit_json(
        path / "latency.json",
        lambda values: values["runners"][1]["stages"][1].update(median_ms=0.0, first_quartile_ms=0.0),
    )
    rehash(path)
    before = exported["android"].bundle
    found = {(each.kind, each.place): each for each in compare_bundles(before, open_bundle(path))}
    assert found["description", "model.name"].after == "'other'"
    assert ("weights", "xnnpack denoise") in found and ("weights", "onnx denoise") not in found
    assert ("file", "decode_image.json") in found
    assert found["size", "all files"].change == pytest.approx(1, abs=0.01)
    parity = found["parity", "xnnpack encode_text"]
    assert parity.change == pytest.approx(90.0 - before.manifest.parity[0].worst)
    assert found["latency", "xnnpack denoise"].change == 0


def test_the_command_prints_a_table_and_json(command: Command, exported: Exports) -> None:
    paths = [str(exported[target].bundle.path) for target in ("android", "ios")]
    shown = command("compare", *paths)
    assert shown.status == 0 and "runtimes[0].name" in shown.out
    values = json.loads(command("compare", *paths, "--json").out)
    jsonschema.Draft202012Validator(json.loads(COMPARISON.read_text())).validate(values)
    assert {each["kind"] for each in values["changes"]} >= {"description", "weights", "file", "size"}


def test_a_damaged_bundle_is_not_compared(command: Command, exported: Exports, copy_of: Copy) -> None:
    path = copy_of("android")
    edit_bytes(path / "denoise.pte", -1, (path / "denoise.pte").read_bytes()[-1] ^ 1)
    assert_refused(command("compare", str(exported["ios"].bundle.path), str(path)), "denoise.pte: .*damaged")


def test_a_baseline_is_read_as_written(figures: Summary, tmp_path: Path) -> None:
    write_summary(tmp_path / "baseline.json", figures)
    values = json.loads((tmp_path / "baseline.json").read_text())
    jsonschema.Draft202012Validator(summaries.schema()).validate(values)
    assert read_summary(tmp_path / "baseline.json") == figures
    assert {each.runtime for each in figures.latency} == {"xnnpack", "onnx"}


def test_an_interpreter_has_no_time(exported: Exports) -> None:
    assert summarise_bundle(exported["ios"].bundle).latency == ()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 2}', "\0"])
def test_a_file_that_is_no_baseline(tmp_path: Path, text: str) -> None:
    (tmp_path / "baseline.json").write_text(text)
    with pytest.raises(BundleError, match="expected a baseline"):
        read_summary(tmp_path / "baseline.json")


def test_a_baseline_with_nan_is_none(figures: Summary, tmp_path: Path) -> None:
    write_summary(tmp_path / "baseline.json", figures)
    edit_json(tmp_path / "baseline.json", lambda values: values["parity"][0].update(worst=float("nan")))
    with pytest.raises(BundleError, match="NaN"):
        read_summary(tmp_path / "baseline.json")


def worse(figures: Summary, part: str, **values: object) -> Summary:
    """The figures with other values in the first row of a part."""
    first, *rest = getattr(figures, part)
    return dataclasses.replace(figures, **{part: (dataclasses.replace(first, **values), *rest)})


def test_the_same_figures_are_no_regression(figures: Summary) -> None:
    assert regressions(figures, figures) == []
    assert regressions(figures, dataclasses.replace(figures, model="another")) == []


def test_each_figure_that_is_worse_is_named(figures: Summary) -> None:
    size, ratio = figures.programs[0].bytes, figures.latency[0].ratio
    for part, values, place in (
        ("parity", {"worst": 81.9}, "parity xnnpack encode_text"),
        ("parity", {"worst": float("-300")}, "parity xnnpack encode_text"),
        ("programs", {"bytes": int(size * 1.03)}, "size xnnpack encode_text"),
        ("latency", {"ratio": ratio * 1.6}, "latency xnnpack encode_text"),
    ):
        (found,) = regressions(figures, worse(figures, part, **values))
        assert found.place == place
        with pytest.raises(ParityError, match=f"1 figures are worse than in base.json: {place}"):
            require_none([found], "base.json")


def test_what_is_allowed_is_no_regression(figures: Summary) -> None:
    size, ratio = figures.programs[0].bytes, figures.latency[0].ratio
    for part, values in (
        ("parity", {"worst": 82.1}),
        ("programs", {"bytes": int(size * 1.01)}),
        ("latency", {"ratio": ratio * 1.4}),
    ):
        assert regressions(figures, worse(figures, part, **values)) == []
    strict = Allowed(parity_db=0, size=1, latency=1)
    assert regressions(figures, worse(figures, "programs", bytes=size + 1), strict)


def test_figures_that_are_gone_are_regressions(figures: Summary) -> None:
    gone = dataclasses.replace(figures, parity=(), programs=(), latency=())
    assert len(regressions(figures, gone)) == len(figures.parity) + len(figures.programs) + len(figures.latency)


def test_a_baseline_of_another_target_is_refused(figures: Summary) -> None:
    with pytest.raises(ConfigError, match="baseline: expected one of ios, got android"):
        regressions(figures, dataclasses.replace(figures, target="ios"))
    with pytest.raises(ConfigError, match="factors of 1 or more"):
        Allowed(latency=float("nan"))


def test_verify_writes_and_reads_a_baseline_and_a_junit_file(
    command: Command, exported: Exports, tmp_path: Path
) -> None:
    bundle, base, report = str(exported["android"].bundle.path), tmp_path / "base.json", tmp_path / "junit.xml"
    made = command("verify", bundle, "--threads", "1", "--write-baseline", str(base))
    assert made.status == 0, made.err
    edit_json(base, lambda values: values["programs"][2].update(bytes=10))
    words = ("--threads", "1", "--baseline", str(base), "--junit", str(report), "--json")
    result = command("verify", bundle, *words)
    assert_refused(result, "1 figures are worse than in .*base.json: size xnnpack decode_image")
    assert [each["place"] for each in json.loads(result.out)["regressions"]] == ["size xnnpack decode_image"]
    suite = ElementTree.parse(report).getroot()[0]
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "0")
    assert len(suite.findall("testcase")) == int(str(suite.get("tests"))) == 7 + 12 + 1
    (failed,) = [case for case in suite if case.find("failure") is not None]
    assert (failed.get("classname"), failed.get("name")) == ("baseline", "figures")


def test_junit_of_contradictions(tmp_path: Path) -> None:
    found = Verification(
        ParityReport({}, (), (), (), 1.0),
        (Difference("schedule", "manifest.json: a", "<b>", "\x1b[31m"), Difference("report", "c", "d", "e")),
        (),
        tmp_path,
    )
    suite = ElementTree.fromstring(junit(found, None))[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("8", "2", "1")
    assert "expected <b>" in str(suite.findall("testcase/failure")[0].get("message"))
