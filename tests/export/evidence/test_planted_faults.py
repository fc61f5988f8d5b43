"""Faults planted into finished bundles, every hash made right: each is found, and the place is named."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from export.bundle.bundle import Bundle, open_bundle
from export.evidence.content import read_contents
from export.evidence.description import check_description, check_source
from export.evidence.difference import Difference
from export.evidence.figures import check_measured_again, check_parity_file, read_parity
from export.evidence.golden import check_golden
from export.evidence.page import check_card, check_latency, check_page, unchecked_charts
from export.evidence.preview import check_preview
from export.evidence.schedule import check_schedule
from export.job.run import Exported
from export.parity.compare import Pictures, compare_runners
from export.parity.report import ParityReport
from export.runners import Runner
from export.targets import open_runner
from export.verify import depth_of, read_trajectories, verify_bundle
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.errors import MobileDiffusionError, ParityError
from tests.export.cli.test_commands import Command, assert_refused, command
from tests.export.evidence.planting import edit_bytes, edit_json, edit_text, rehash

__all__ = ["command"]

Exports = Mapping[str, Exported]
Copy = Callable[[str], Path]
Change = Callable[[Path], object]


def manifest(change: Callable[[dict[str, Any]], object]) -> Change:
    return lambda path: edit_json(path / "manifest.json", change)


def swap_words(path: Path, one: str, other: str) -> None:
    def swap(values: dict[str, Any]) -> None:
        words = values["model"]["vocab"]
        words[one], words[other] = words[other], words[one]

    edit_json(path / "tokenizer.json", swap)


def read_only(path: Path, checkpoint: Path | None = None) -> list[Difference]:
    """What is seen without running a program."""
    rehash(path)
    bundle = open_bundle(path)
    contents, trajectories = read_contents(bundle), read_trajectories(bundle)
    depth = depth_of(bundle, trajectories)
    return [
        *check_description(bundle, contents),
        *check_schedule(bundle.manifest.schedule, contents),
        *check_golden(bundle, trajectories, depth),
        *([] if checkpoint is None else check_source(bundle, open_checkpoint(checkpoint))),
    ]


def places(differences: list[Difference]) -> str:
    return "\n".join(map(str, differences))


@pytest.mark.parametrize("target", ["ios", "android"])
def test_a_bundle_as_exported_does_not_contradict(
    exported: Exports, copy_of: Copy, target: str, tiny_checkpoint: Path
) -> None:
    assert read_only(copy_of(target), tiny_checkpoint) == []


def reverse(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda values: values["schedule"][name].reverse()


def scale(values: dict[str, Any], name: str, factor: float) -> None:
    values["schedule"][name][2] *= factor


def scale_update(values: dict[str, Any]) -> None:
    values["schedule"]["update"][3][0][1] *= 1 + 1e-6


def set_in(*path: Any) -> Callable[[dict[str, Any]], None]:
    """Sets a value; the last word of the path is the new value."""

    def change(values: dict[str, Any]) -> None:
        *way, last, value = path
        for word in way:
            values = values[word]
        assert values[last] != value
        values[last] = value

    return change


def empty_prompt_alone(path: Path) -> None:
    edit_json(path / "golden/index.json", lambda values: values.update(cases=values["cases"][-1:]))


def first_case_twice(path: Path) -> None:
    edit_json(path / "golden/index.json", lambda values: values["cases"].__setitem__(1, values["cases"][0]))


def other_first_latents(path: Path) -> None:
    shutil.copy(path / "golden/0/states.bin", path / "golden/1/states.bin")


def int8_by_name(values: dict[str, Any]) -> None:
    for artifact in values["runtimes"][0]["artifacts"]:
        artifact["precision"] = "int8"


def other_update_in_graph(path: Path) -> None:
    """One coefficient of ONNX's graph, a millionth part too large."""
    file = path / "onnx/denoise.onnx"
    model = onnx.load(file)
    (table,) = [each for each in model.graph.initializer if each.name == "update.m01"]
    values = numpy_helper.to_array(table).copy()
    values[3] *= 1 + 1e-6
    table.CopyFrom(numpy_helper.from_array(values, table.name))
    onnx.save(model, file)


FAULTS: dict[str, tuple[str, Change, str]] = {
    "two words of the tokenizer swapped": (
        "ios",
        lambda path: swap_words(path, "red", "cat"),
        "golden/0: tokens of context",
    ),
    "timesteps reversed": ("ios", manifest(reverse("timesteps")), r"schedule.timesteps: expected the noisiest first"),
    "sigmas reversed": ("ios", manifest(reverse("sigmas")), r"schedule.sigmas: expected the noisiest first"),
    "alphas reversed": ("ios", manifest(reverse("alphas")), r"schedule.alphas: expected the noisiest first"),
    "one coefficient of the manifest": ("ios", manifest(scale_update), r"schedule.update\[\*\]\[0\]\[1\]"),
    "one coefficient in XNNPACK's manifest": ("android", manifest(scale_update), "a table of denoise for xnnpack"),
    "one coefficient of the graph": ("android", other_update_in_graph, "a table of denoise for onnx"),
    "input scales": ("ios", manifest(lambda values: scale(values, "inputs", 2)), "schedule.inputs"),
    "noise that no program adds": (
        "ios",
        manifest(lambda v: v["schedule"]["noise_factors"].__setitem__(1, 0.1)),
        "noise",
    ),
    "timesteps above the training's": ("ios", manifest(set_in("schedule", "train_steps", 10)), "at most 10"),
    "generator of noise": ("ios", manifest(set_in("schedule", "noise", "mt19937")), "schedule.noise"),
    "golden cases cut to the empty prompt": ("ios", empty_prompt_alone, "golden/index.json: case 0"),
    "golden case repeated": ("ios", first_case_twice, "golden/index.json: case 1"),
    "golden seed": (
        "ios",
        lambda path: edit_text(path / "golden/index.json", '"seed": "7"', '"seed": "8"'),
        "golden/0: states: expected the seed's noise",
    ),
    "golden latents of another case": ("ios", other_first_latents, "golden/1: states: expected the seed's noise"),
    "golden guidance": (
        "ios",
        lambda path: edit_text(path / "golden/index.json", '"guidance": 3.0', '"guidance": 2.0'),
        "golden/0: expected guidance 3.0",
    ),
    "golden prompt's case": (
        "ios",
        lambda path: edit_text(path / "golden/index.json", "a red apple, 3d", "a Red apple, 3d"),
        "golden/index.json: case 0",
    ),
    "height": ("ios", manifest(set_in("model", "height", 64)), "model.height"),
    "precision of Core ML": ("ios", manifest(int8_by_name), "precision"),
    "fp32 programs that call themselves int8": ("android", manifest(int8_by_name), "expected fp32, as the programs"),
    "compression": (
        "ios",
        manifest(lambda v: [a.update(compression="palettize-4") for a in v["runtimes"][0]["artifacts"]]),
        "expected none, as no program has one",
    ),
    "delegates": ("android", manifest(set_in("runtimes", 0, "artifacts", 1, "delegates", 3)), "delegates"),
    "undelegated": ("android", manifest(set_in("runtimes", 0, "artifacts", 1, "undelegated", [])), "undelegated"),
    "deployment target": (
        "ios",
        manifest(lambda v: [s.update(value="iOS16") for s in v["runtimes"][0]["settings"] if s["name"][0] == "d"]),
        "deployment_target",
    ),
    "pixel buffer": (
        "ios",
        manifest(lambda v: [s.update(value="true") for s in v["runtimes"][0]["settings"] if s["name"][0] == "p"]),
        "pixel_buffer",
    ),
    "a setting left out": ("ios", manifest(lambda v: v["runtimes"][0]["settings"].pop()), "settings"),
    "method": ("ios", manifest(set_in("runtimes", 0, "artifacts", 0, "method", "denoise")), "method"),
    "output name": ("ios", manifest(set_in("runtimes", 0, "artifacts", 1, "outputs", ["latents"])), "outputs"),
    "verified": ("android", manifest(set_in("runtimes", 1, "verified", False)), "verified"),
    "primary": (
        "android",
        manifest(lambda v: [each.update(primary=not each["primary"]) for each in v["runtimes"]]),
        "primary",
    ),
    "shape of an input": (
        "ios",
        manifest(set_in("stages", 0, "inputs", 0, "shape", [1, 13])),
        "stages encode_text.inputs",
    ),
    "name of an input": ("android", manifest(set_in("stages", 1, "inputs", 3, "name", "nothing")), "denoise.inputs"),
    "target": ("ios", manifest(set_in("target", "android")), r"runtimes\[0\].name"),
}
"""Name -> target, change, what the differences say."""


@pytest.mark.parametrize(("target", "change", "said"), FAULTS.values(), ids=FAULTS)
def test_found_without_running_anything(copy_of: Copy, target: str, change: Change, said: str) -> None:
    path = copy_of(target)
    change(path)
    assert re.search(said, places(read_only(path)))


WITH_CHECKPOINT: dict[str, tuple[Change, str]] = {
    "words that no golden prompt has": (
        lambda path: swap_words(path, "zebra", "house"),
        "tokenizer.json: model.vocab.zebra",
    ),
    "model's name": (manifest(set_in("model", "name", "other")), "model.name"),
    "licence": (manifest(set_in("model", "licence", "CC0-1.0")), "model.licence"),
    "styles": (manifest(set_in("model", "styles", ["noto"])), "model.styles"),
    "changes": (manifest(set_in("model", "changes", ["a LoRA"])), "model.changes"),
    "one timestep": (manifest(lambda v: scale(v, "timesteps", 1.001)), r"schedule.timesteps\[2\]"),
    "one sigma": (manifest(lambda v: scale(v, "sigmas", 1 - 1e-9)), r"schedule.sigmas\[2\]"),
    "solver": (manifest(set_in("schedule", "solver", "euler")), "schedule.solver"),
    "prediction": (manifest(set_in("schedule", "prediction", "epsilon")), "schedule.prediction"),
    "spacing": (manifest(set_in("schedule", "spacing", "leading")), "schedule.spacing"),
    "default guidance": (manifest(set_in("schedule", "guidance_default", 2.5)), "schedule.guidance_default"),
}
"""Name -> change, what the differences say."""


@pytest.mark.parametrize(("change", "said"), WITH_CHECKPOINT.values(), ids=WITH_CHECKPOINT)
def test_found_with_the_checkpoint(copy_of: Copy, tiny_checkpoint: Path, change: Change, said: str) -> None:
    path = copy_of("android")
    change(path)
    rehash(path)
    found = check_source(open_bundle(path), open_checkpoint(tiny_checkpoint))
    assert re.search(said, places(found))


@dataclass(frozen=True)
class Ran:
    """What the programs of the iOS bundle computed."""

    bundle: Bundle
    recorded: ParityReport
    measured: ParityReport
    pictures: Pictures
    runner: Runner


class Remembering:
    """A runner that computes every call once: the tests below change the reports and never the programs."""

    def __init__(self, runner: Runner) -> None:
        self.runner, self.name, self.threads = runner, runner.name, runner.threads
        self.known: dict[tuple[object, ...], dict[str, np.ndarray]] = {}

    def run(self, stage: str, /, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        key = (stage, *((name, array.tobytes()) for name, array in sorted(arrays.items())))
        if key not in self.known:
            self.known[key] = self.runner.run(stage, **arrays)
        return {name: array.copy() for name, array in self.known[key].items()}


@pytest.fixture(scope="module")
def ran(exported: Exports) -> Ran:
    bundle = exported["ios"].bundle
    trajectories = read_trajectories(bundle)
    depth = depth_of(bundle, trajectories)
    entry, runner = open_runner(bundle, None, 1)
    pair = entry, Remembering(runner)
    report, pictures = compare_runners([pair], trajectories, bundle.settings(), bundle.step_table(), depth)
    return Ran(bundle, read_parity(bundle, trajectories, depth), report, pictures, pair[1])


def check_reports(path: Path, ran: Ran) -> list[Difference]:
    """What is seen of the figures, once the programs have run."""
    rehash(path)
    bundle = open_bundle(path)
    trajectories = read_trajectories(bundle)
    recorded = read_parity(bundle, trajectories, "trajectory")
    return [
        *check_parity_file(bundle, recorded),
        *check_latency(bundle),
        *check_card(bundle, recorded, "trajectory"),
        *check_measured_again(recorded, ran.measured),
        *check_page(bundle, recorded, trajectories, ran.pictures, "trajectory"),
        *check_preview(bundle, ran.runner, trajectories),
    ]


def test_reports_as_exported_do_not_contradict(copy_of: Copy, ran: Ran) -> None:
    assert check_reports(copy_of("ios"), ran) == []


def better_everywhere(path: Path) -> None:
    """parity.json, its summary and the manifest's, 20 dB better than the program is."""

    def better(values: dict[str, Any]) -> None:
        for each in values["measurements"]:
            name = "psnr_db" if "psnr_db" in each["metrics"] else "snr_db"
            each["metrics"][name] += 20
        for row in values["summary"]:
            row["worst"] += 20
            row["median"] += 20

    edit_json(path / "parity.json", better)
    edit_json(path / "manifest.json", lambda values: [row.update(worst=row["worst"] + 20) for row in values["parity"]])


def no_measurements(path: Path) -> None:
    edit_json(path / "parity.json", lambda values: values["measurements"].pop())


REPORTS: dict[str, tuple[Change, str]] = {
    "verdict": (lambda path: edit_json(path / "parity.json", set_in("passed", False)), "parity.json: passed"),
    "summary": (
        lambda path: edit_json(path / "parity.json", set_in("summary", 0, "worst", 99.0)),
        r"parity.json: summary\[0\].worst",
    ),
    "limit": (
        lambda path: edit_json(path / "parity.json", set_in("summary", 1, "limit", 10)),
        r"parity.json: summary\[1\].limit",
    ),
    "the manifest's figure": (manifest(set_in("parity", 0, "worst", 99.0)), r"manifest.json: parity\[0\].worst"),
    "the manifest's limit": (manifest(set_in("parity", 0, "limit", 1.0)), r"manifest.json: parity\[0\].limit"),
    "a row left out": (manifest(lambda values: values["parity"].pop()), r"manifest.json: parity\[5\]"),
    "better everywhere": (better_everywhere, "within 3 dB, as measured now"),
    "a measurement left out": (no_measurements, "parity.json"),
    "spread": (
        lambda path: edit_json(path / "latency.json", set_in("runners", 0, "stages", 0, "spread_ms", 0.0)),
        "spread_ms",
    ),
    "a runner left out": (
        lambda path: edit_json(path / "latency.json", lambda v: v["runners"].pop()),
        "latency.json: runners",
    ),
    "time": (
        lambda path: edit_json(path / "latency.json", set_in("runners", 1, "stages", 1, "runs", 99)),
        "report.html: line",
    ),
    "page's title": (
        lambda path: edit_text(path / "report.html", "<h1>tiny", "<h1>huge"),
        "report.html: line",
    ),
    "page's verdict": (
        lambda path: edit_text(path / "report.html", "All gates passed", "All gates passed with honours"),
        "report.html: line",
    ),
    "what was not verified": (
        lambda path: edit_text(path / "report.html", "Not verified here", "Verified here"),
        "report.html: line",
    ),
    "line at the end of the page": (
        lambda path: (path / "report.html").open("a").write("<script>alert(1)</script>\n"),
        "report.html: line",
    ),
    "card's licence": (lambda path: edit_text(path / "README.md", "Licence of", "No licence of"), "README.md: line"),
    "card's verdict": (lambda path: edit_text(path / "README.md", "passed", "passed well"), "README.md: line"),
    "preview's weight": (
        lambda path: edit_json(
            path / "preview.json", lambda v: v["weights"][0].__setitem__(1, v["weights"][0][1] + 0.1)
        ),
        "preview.json: expected colours",
    ),
    "preview's bias": (
        lambda path: edit_json(path / "preview.json", lambda v: v["bias"].__setitem__(2, v["bias"][2] + 0.05)),
        "preview.json: expected colours",
    ),
    "preview of fewer channels": (
        lambda path: edit_json(path / "preview.json", lambda v: [row.pop() for row in v["weights"]]),
        "preview.json: weights",
    ),
}
"""Name -> change, what the differences say."""


@pytest.mark.parametrize(("change", "said"), REPORTS.values(), ids=REPORTS)
def test_found_in_the_reports(copy_of: Copy, ran: Ran, change: Change, said: str) -> None:
    path = copy_of("ios")
    change(path)
    assert re.search(said, places(check_reports(path, ran)))


def test_another_picture_in_the_page(copy_of: Copy, ran: Ran) -> None:
    """The pictures of the first two cases change places."""
    path = copy_of("ios")
    page = (path / "report.html").read_text()
    first, _, _, second, *_ = re.findall(r"base64,([^\"]*)", page)
    (path / "report.html").write_text(page.replace(first, "\0").replace(second, first).replace("\0", second))
    assert {each.place for each in check_reports(path, ran)} == {"report.html: picture 1", "report.html: picture 4"}


@pytest.mark.parametrize("number", [1, 2])
def test_another_picture_of_a_runtime_or_its_difference(copy_of: Copy, ran: Ran, number: int) -> None:
    """The runtime's picture of the first case, or how far it is from PyTorch's, is replaced by that of the second."""
    path = copy_of("ios")
    page = (path / "report.html").read_text()
    found = re.findall(r"base64,([^\"]*)", page)
    (path / "report.html").write_text(page.replace(found[number], found[number + 3], 1))
    assert f"report.html: picture {number + 1}" in {each.place for each in check_reports(path, ran)}


def test_charts_of_another_library_version_are_not_compared(copy_of: Copy, ran: Ran) -> None:
    path = copy_of("ios")
    edit_text(path / "report.html", 'viewBox="0 0 360', 'viewBox="0 0 361')
    assert {each.place.partition(": ")[0] for each in check_reports(path, ran)} == {"report.html"}
    (version,) = (each.version for each in open_bundle(path).manifest.tools if each.name == "matplotlib")
    for file in ("manifest.json", "report.html", "README.md"):
        edit_text(
            path / file,
            f'"version": "{version}"' if file == "manifest.json" else f"matplotlib {version}",
            '"version": "3.0.0"' if file == "manifest.json" else "matplotlib 3.0.0",
        )
    assert check_reports(path, ran) == []
    assert unchecked_charts(open_bundle(path)) == ["charts of report.html, which another version of matplotlib drew"]


@pytest.mark.parametrize(
    "file", ["parity.json", "latency.json", "preview.json", "report.html", "layers.json", "README.md"]
)
@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff\xfe", b'{"measurements": [1]}', b'{"runners": [1]}'])
def test_files_that_are_none(copy_of: Copy, ran: Ran, file: str, content: bytes) -> None:
    path = copy_of("ios")
    (path / file).write_bytes(content)
    try:
        assert check_reports(path, ran)
    except MobileDiffusionError as error:
        assert file in str(error) and "\n" not in str(error)


def test_verify_names_all_contradictions(command: Command, copy_of: Copy) -> None:
    path = copy_of("ios")
    swap_words(path, "red", "cat")
    edit_json(path / "manifest.json", reverse("timesteps"))
    rehash(path)
    result = command("verify", str(path), "--json")
    assert_refused(result, "contradictions: .*; do not ship this bundle")
    figures = json.loads(result.out)
    assert (figures["passed"], figures["measurements"]) == (False, [])
    assert {each["check"] for each in figures["differences"]} == {"golden vectors", "schedule"}
    assert any("were not run" in each for each in figures["unchecked"])


def test_a_bundle_says_what_it_cannot_prove(exported: Exports) -> None:
    found = verify_bundle(exported["ios"].bundle.path, threads=1)
    assert found.passed and "words of the tokenizer that no golden prompt has" in found.unchecked


def test_golden_latents_that_are_not_those_of_pytorch(copy_of: Copy, tiny_checkpoint: Path) -> None:
    """A wrong bundle that agrees with itself: only PyTorch can tell."""
    path = copy_of("ios")
    file = path / "golden/0/image.bin"
    values = np.frombuffer(file.read_bytes(), "<f4") * np.float32(0.9)
    file.write_bytes(values.tobytes())
    rehash(path)
    found = verify_bundle(path, tiny_checkpoint, threads=1)
    assert {each.measurement.runtime for each in found.parity.failures} == {"torch", "coreml"}
    assert found.differences, "the figures are not those of these vectors"
    with pytest.raises(ParityError, match="gates failed"):
        found.require()


def test_a_damaged_program_is_one_line(copy_of: Copy) -> None:
    path = copy_of("android")
    edit_bytes(path / "denoise.pte", 200, 0xFF if (path / "denoise.pte").read_bytes()[200] != 0xFF else 0)
    (path / "onnx/denoise.onnx").write_bytes(b"onnx")
    rehash(path)
    with pytest.raises(MobileDiffusionError):
        verify_bundle(path, threads=1)
