"""The results of the stages as a file, what their gates say, and what the command prints."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path

import pytest

from export.cli import main
from export.latency.measure import Conditions
from export.studies.snapfusion.gates import ALL, Gate, Models, gates
from export.studies.snapfusion.means import mean_kid, mean_recall
from export.studies.snapfusion.milestones import (
    Milestone,
    Results,
    RowTimes,
    SetFigures,
    Timing,
    read_results,
    write_results,
)
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quality.bootstrap import Interval

ROOT = Path(__file__).parents[3]
PROMPTS = {"training": "a", "held-out": "b"}


def figures(name: str, kid: float, cosine: float, found: int) -> SetFigures:
    """Four prompts, of which `found` are among the first five."""
    flat = Interval(0.5, 0.4, 0.6)
    ranks = tuple(1 if place < found else 9 for place in range(4))
    cosines = tuple(cosine + shift for shift in (-0.1, 0.0, 0.0, 0.1))
    resamples = (kid, 1.1 * kid, None, 0.9 * kid)
    return SetFigures(
        name, PROMPTS[name], 8, Interval(kid, 0.9 * kid, 1.1 * kid), flat, flat, flat, flat, ranks, cosines, resamples
    )


def row(name: str, kid: float = 0.1, cosine: float = 0.5, found: int = 4, steps: int = 8) -> Milestone:
    sets = tuple(figures(each, kid, cosine, found) for each in PROMPTS)
    return Milestone(
        name, f"the {name}", "runs/x", f"hash of {name}", steps, 3.0, 2, 27_300_000, 10**9, 10**6, 10**8, 5 * 10**7,
        "ExecuTorch", 4, 0, sets,
    )  # fmt: skip


def times(name: str, step: float, steps: int = 8) -> RowTimes:
    return RowTimes(name, f"hash of {name}", steps, (1.0,) * 3, (step, step + 1, step - 1), (9.0,) * 3)


def results(**changes: Milestone) -> Results:
    rows = {
        "teacher-50": row("teacher-50", steps=50),
        "teacher-8": row("teacher-8", kid=0.2, cosine=0.3),
        "robust": row("robust"),
        "slim": row("slim"),
        "student-8": row("student-8", kid=0.12, cosine=0.49),
    } | changes
    taken = (times("teacher-50", 60, 50), times("student-8", 20), times("robust", 50), times("slim", 26))
    timing = Timing(Conditions("some processor", 2, "Linux", 1.0), "ExecuTorch", 2, 10, taken)
    return Results(tuple(rows.values()), timing)


def find(found: list[Gate], what: str, where: str = ALL) -> Gate:
    (only,) = (gate for gate in found if gate.what == what and gate.where == where)
    return only


def test_a_file_gives_what_was_written(tmp_path: Path) -> None:
    write_results(results(), tmp_path / "r.json")
    assert read_results(tmp_path / "r.json") == results()
    assert '"ranks": [ 1, 1, 1, 1 ]' in (tmp_path / "r.json").read_text()


@pytest.mark.parametrize("text", [None, "", "{", '{"rows": 1}', '{"other": []}', '{"rows": [{"name": "a"}]}'])
def test_files_that_are_none(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "r.json").write_text(text)
    with pytest.raises(ConfigError, match=r"r\.json: "):
        read_results(tmp_path / "r.json")


def test_a_row_is_replaced_and_rows_keep_their_order() -> None:
    order = ["teacher-50", "teacher-8", "slim"]
    held = Results().with_row(row("slim"), order).with_row(row("other"), order).with_row(row("teacher-50"), order)
    held = held.with_row(row("slim", kid=0.7), order)
    assert [each.name for each in held.rows] == ["teacher-50", "slim", "other"]
    assert held.rows[1].find("training").kid.value == 0.7


def test_times_are_those_of_the_same_checkpoint_and_steps() -> None:
    held = results()
    found = held.times_of(held.rows[0])
    assert found is not None and found.step_ms == 60 and found.picture_ms == 1 + 50 * 60 + 9
    assert held.times_of(dataclasses.replace(held.rows[0], source_sha256="another")) is None
    assert held.times_of(dataclasses.replace(held.rows[0], steps=8)) is None


def test_gates_by_hand() -> None:
    found = gates(results())
    pair = "student-8 / teacher-50"
    cosine, recall, kid = (find(found, f"{what}, {pair}") for what in ("cosine", "R@5", "KID"))
    assert cosine.ratio is not None and cosine.ratio.value == pytest.approx(0.98) and cosine.verdict == "reached"
    assert cosine.ratio.low < 0.98 < cosine.ratio.high
    assert recall.ratio == Interval(1.0, 1.0, 1.0) and recall.verdict == "reached"
    assert kid.ratio is not None and kid.ratio.value == pytest.approx(1.2) and kid.verdict == "reached"
    assert kid.ratio.high - kid.ratio.low < 1e-9  # every resample of the one is 1.2 times the other's
    assert find(found, f"KID, {pair}", "held-out").verdict == "reached"
    worse = find(found, "KID, teacher-8 / student-8")
    assert worse.ratio is not None and worse.ratio.value == pytest.approx(0.2 / 0.12) and worse.verdict == "reached"
    assert find(found, "cosine, teacher-8 / student-8").verdict == "reached"
    picture = find(found, "time of a picture, teacher-50 / student-8", "")
    assert picture.ratio is not None and picture.ratio.value == pytest.approx(3010 / 170)
    step = find(found, "time of a step, teacher-50 / slim", "")
    assert step.ratio is not None and step.ratio.value == pytest.approx(60 / 26) and step.verdict == "reached"
    other = find(gates(results(), Models(wide="robust")), "time of a step, robust / slim", "")
    assert other.ratio is not None and other.ratio.value == pytest.approx(50 / 26) and other.verdict == "not reached"


def test_a_student_that_is_too_bad_has_not_reached() -> None:
    found = gates(results(**{"student-8": row("student-8", kid=0.13, cosine=0.47, found=3)}))
    for what in ("cosine", "R@5", "KID"):
        assert find(found, f"{what}, student-8 / teacher-50").verdict == "not reached"


def test_nan_is_not_reached_on_either_side() -> None:
    nan = Interval(math.nan, 0.0, 9.0)
    for least in (True, False):
        assert Gate("x", "", 1.0, least, nan).verdict == "not reached"
    lost = gates(results(**{"teacher-50": row("teacher-50", kid=-0.1, steps=50)}))
    assert find(lost, "KID, student-8 / teacher-50").verdict == "not reached"


def test_rows_that_are_missing_are_not_measured() -> None:
    found = gates(Results())
    assert {gate.verdict for gate in found} == {"not measured"}
    absent = find(gates(results(), Models(student="absent")), "KID, absent / teacher-50")
    assert absent.ratio is None


def test_other_prompts_are_not_compared() -> None:
    other = row("student-8")
    other = dataclasses.replace(other, sets=(dataclasses.replace(other.sets[0], prompts_sha256="z"), other.sets[1]))
    for student in (other, dataclasses.replace(row("student-8"), seed=1)):
        with pytest.raises(ConfigError, match="expected the same prompts and seeds, got others"):
            gates(results(**{"student-8": student}))


def test_means_over_the_sets() -> None:
    half = row("a", found=2)
    assert mean_recall(half).value == 0.5 and mean_kid(half).value == pytest.approx(0.1)
    assert mean_kid(half).low == pytest.approx(0.09) and mean_kid(half).high == pytest.approx(0.11)


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["mobile-diffusion", "milestones", *words])
    with pytest.raises(SystemExit) as end:
        main.main()
    return int(end.value.code or 0)


def test_the_command_prints_rows_and_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(results(**{"slim": dataclasses.replace(row("slim"), title="slim [one]")}), tmp_path / "r.json")
    assert command(monkeypatch, str(tmp_path / "r.json")) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for words in ("the teacher-50", "slim [one]", "27.30", "not times of a phone", "No current times: teacher-8"):
        assert words in printed, printed
    assert "at most 1.25 1.200 [1.200, 1.200] reached" in printed


def test_the_command_refuses_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, str(tmp_path / "absent.json")) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "expected results of benchmarks/snapfusion/milestones.py" in lines[0]
