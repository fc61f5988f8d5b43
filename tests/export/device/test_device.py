"""`mobile-diffusion device` against stand-ins for adb and devicectl: what reaches the phone, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from export.device.android import read_states
from export.device.phone import BENCHMARK, Outcome, Task, wait
from export.job.run import Exported
from mobile_diffusion.errors import DeviceError
from tests.export.cli.test_commands import Command, assert_refused, command
from tests.export.device import transcripts
from tests.export.device.conftest import TIMES, Faults

__all__ = ["command"]


@pytest.fixture(params=["android", "ios"])
def target(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bundle(target: str, exported: Mapping[str, Exported]) -> Path:
    return exported[target].bundle.path


@pytest.fixture
def android(exported: Mapping[str, Exported]) -> Path:
    return exported["android"].bundle.path


def models(phone: Path) -> Path:
    """Where the app keeps models."""
    return next(path for path in phone.glob("app/*/models"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_push_brings_every_file_and_leaves_nothing_else(phone: Path, bundle: Path, command: Command) -> None:
    for _ in range(2):  # the second time another bundle is replaced
        result = command("device", "push", str(bundle), "--name", "emoji-1.0_a")
        assert result.status == 0, result.err
        assert "on the phone as emoji-1.0_a" in result.out
        assert contents(models(phone) / "emoji-1.0_a") == contents(bundle)
        assert [path.name for path in models(phone).iterdir()] == ["emoji-1.0_a"]
        assert list((phone / "tmp").glob("*/*")) == []


def test_push_keeps_one_copy_of_a_bundle(phone: Path, android: Path, command: Command) -> None:
    assert command("device", "push", str(android)).status == 0
    sizes = [path.stat().st_size for path in android.rglob("*") if path.is_file()]
    held = [int(line) for line in (phone / "held.txt").read_text().split()]
    assert max(held) < sum(sizes) + max(sizes) + 100_000  # the new bundle, and the piece that has just come
    assert len(held) == 1 + sum(size > 50_000 for size in sizes)
    assert contents(next(models(phone).iterdir())) == contents(android)


def test_bench_shows_the_phones_times_beside_the_computers(
    phone: Path, bundle: Path, target: str, command: Command, tmp_path: Path
) -> None:
    assert command("device", "push", str(bundle)).status == 0
    out = tmp_path / "phone.json"
    result = command("device", "bench", str(bundle), "--runs", "7", "--threads", "3", "--out", str(out))
    assert result.status == 0, result.err
    assert json.loads((phone / "asked.json").read_text()) == {"runs": "7", "threads": "3"}
    assert json.loads(out.read_text()) == TIMES
    assert "20.0 ± 3.0" in result.out and "Tensor G3" in result.out
    assert "thermal state light" in result.out
    assert str(4 + 8 * 20 + 12) in result.out  # a picture
    assert "computer / phone" in result.out
    again = command("device", "pull", str(bundle))
    assert again.status == 0 and again.out == result.out


def test_the_last_result_is_forgotten_before_the_next(
    phone: Path, bundle: Path, command: Command, faults: Faults
) -> None:
    assert command("device", "push", str(bundle)).status == 0
    assert command("device", "bench", str(bundle)).status == 0
    faults(result=["none", ""])
    (phone / "alive").unlink()
    assert_refused(command("device", "bench", str(bundle)), "the app ended without any; the phone may lack the memory")
    assert_refused(command("device", "pull", str(bundle)), "expected times on the phone, got none; run")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("out of memory", "form of latency.json, got JSONDecodeError"),
        ("[]", "form of latency.json"),
        ('{"conditions": {}, "runners": []}', "form of latency.json"),
        (json.dumps(TIMES | {"runners": []}), "expected the times of a runner, got none"),
        (json.dumps(TIMES).replace('"denoise"', '"upscale"'), "encode_text, upscale, decode_image"),
        (json.dumps(TIMES).replace("20.0", "NaN"), "denoise: expected finite times in order"),
        (json.dumps(TIMES).replace('"runtime"', '"guess"'), "'guess' with encode_text"),
    ],
)
def test_a_result_of_another_form(
    text: str, message: str, phone: Path, android: Path, command: Command, faults: Faults, tmp_path: Path
) -> None:
    assert command("device", "push", str(android)).status == 0
    faults(result=["json", text])
    assert_refused(command("device", "bench", str(android), "--out", str(tmp_path / "a.json")), message)
    assert not (tmp_path / "a.json").exists()


def test_the_apps_own_message(phone: Path, bundle: Path, command: Command, faults: Faults) -> None:
    assert command("device", "push", str(bundle)).status == 0
    faults(result=["error", "denoise: expected 400 MB of memory, got 120"])
    assert_refused(command("device", "bench", str(bundle)), "got an error from the phone: denoise: expected 400 MB")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"devices": transcripts.NONE_WITHOUT_A_PHONE}, "expected one Android phone, got none; connect one"),
        ({"devices": transcripts.TWO}, "got R5CT30ABCDE, emulator-5554; connect one, or choose with --device"),
        ({"devices": transcripts.UNAUTHORIZED}, "unauthorized; unlock it and allow USB debugging"),
        ({"devices": transcripts.OFFLINE}, "offline; connect it again"),
        ({"programs": {"pm": "true"}}, "expected the app org.mobilediffusion.sample, got none; install"),
        (
            {"shell": [["run-as", transcripts.NOT_DEBUGGABLE, 1]]},
            "package not debuggable: org.mobilediffusion.sample; install a debug build",
        ),
        ({"shell": [["cp ", transcripts.NO_SPACE, 1]]}, "No space left on device"),
        ({"damaged": "denoise.pte"}, "denoise.pte: expected the bundle's file on the phone, got [0-9a-f]{64}; push"),
    ],
)
def test_push_to_a_phone_that_cannot(
    given: dict[str, object], message: str, phone: Path, android: Path, command: Command, faults: Faults
) -> None:
    faults(**given)
    assert_refused(command("device", "push", str(android), "--name", "a"), message)
    assert list(phone.glob("app/files/models/*")) == []
    if "shell" not in given:
        assert list((phone / "tmp").glob("*/*")) == []


def test_bench_of_what_is_not_there(phone: Path, android: Path, command: Command, faults: Faults) -> None:
    assert_refused(
        command("device", "bench", str(android)), "expected the model .*, got none; run `mobile-diffusion device push`"
    )
    assert command("device", "push", str(android)).status == 0
    faults(start=transcripts.NO_ACTIVITY)
    assert_refused(command("device", "bench", str(android)), "expected it to start, got Error type 3; install")


def test_iphones_are_told_apart(
    phone: Path, exported: Mapping[str, Exported], command: Command, faults: Faults
) -> None:
    bundle = str(exported["ios"].bundle.path)
    known = [{"identifier": f"id-{n}", "deviceProperties": {"name": f"Phone {n}"}} for n in (1, 2)]
    faults(devices=known)
    assert_refused(command("device", "push", bundle), r"got Phone 1 \(id-1\), Phone 2 \(id-2\); connect one")
    assert_refused(command("device", "push", bundle, "--device", "id-3"), "of that identifier")
    faults(devices=[])
    assert_refused(command("device", "push", bundle), "expected one iPhone, got none")


@pytest.mark.parametrize("name", ["", "a b", "../a", "-a", "a;b", "a/b", "é", "a" * 65])
def test_names_that_no_shell_takes(name: str, phone: Path, android: Path, command: Command) -> None:
    result = command("device", "push", str(android), f"--name={name}")
    if name:
        assert_refused(result, "--name: expected up to 64 letters")
    assert not (phone / "calls.jsonl").exists() or name == ""


def test_a_serial_number_that_is_not_connected(phone: Path, android: Path, command: Command) -> None:
    assert_refused(command("device", "push", str(android), "--device", "foo"), "one that is not connected")


def test_a_damaged_bundle_is_not_sent(phone: Path, android: Path, command: Command, tmp_path: Path) -> None:
    assert_refused(command("device", "push", str(tmp_path)), "manifest.json")
    assert not (phone / "calls.jsonl").exists()


@pytest.mark.parametrize(("target_name", "program"), [("android", "adb"), ("ios", "xcrun")])
def test_without_the_tool(
    target_name: str,
    program: str,
    exported: Mapping[str, Exported],
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    bundle = str(exported[target_name].bundle.path)
    assert_refused(command("device", "push", bundle), f"{program}: expected the program, got none; ")


class Silent:
    """An app that runs and never writes."""

    def send(self, bundle: Path, name: str, progress: object) -> None: ...

    def start(self, task: Task, name: str, threads: int, runs: int | None = None) -> None: ...

    def outcome(self, task: Task, name: str) -> Outcome | None:
        return None

    def running(self) -> bool:
        return True


def test_waiting_ends() -> None:
    times = iter(range(100))
    with pytest.raises(DeviceError, match="expected times within 30 s, got none; give a longer --timeout"):
        wait(Silent(), BENCHMARK, "a", 30, sleep=lambda seconds: None, clock=lambda: float(next(times)))
    assert next(times) < 40


def test_notes_of_adbs_server_are_no_phones() -> None:
    assert read_states(transcripts.NONE_WITHOUT_A_PHONE) == {}
    assert read_states(transcripts.TWO) == {"R5CT30ABCDE": "device", "emulator-5554": "device"}


def test_a_bundle_of_no_phone_is_refused(exported: Mapping[str, Exported], command: Command) -> None:
    result = command("device", "push", str(exported["web"].bundle.path))
    assert result.status == 2 and "expected a bundle for android or ios, got 'web'; open it in a browser" in result.err
