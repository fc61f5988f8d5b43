"""Bundles: whole or absent, and nothing changed goes unseen."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from export.bundle.bundle import open_bundle
from mobile_diffusion.errors import BundleError, ExportError, ParityError
from mobile_diffusion.staging import staged_folder
from tests.export.samples import FILES, write_sample

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    write_sample(tmp_path / "bundle")
    return tmp_path / "bundle"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_written_and_opened(bundle: Path) -> None:
    opened = open_bundle(bundle)
    assert {entry.path for entry in opened.manifest.files} == set(FILES)
    assert contents(bundle).keys() == set(FILES) | {"manifest.json"}
    assert opened.runtime().name == "coreml"
    assert opened.artifacts(opened.runtime("coreml"))["denoise"] == "denoise.mlpackage"
    assert os.listdir(bundle.parent) == ["bundle"]


@pytest.mark.parametrize("path", [path for path, data in FILES.items() if data])
@pytest.mark.parametrize("where", ["first", "last"])
def test_one_flipped_byte(bundle: Path, path: str, where: str) -> None:
    data = bytearray((bundle / path).read_bytes())
    data[0 if where == "first" else -1] ^= 1
    (bundle / path).write_bytes(data)
    with pytest.raises(BundleError, match=f"{path}.*SHA-256"):
        open_bundle(bundle)


@pytest.mark.parametrize("path", FILES)
def test_missing_file(bundle: Path, path: str) -> None:
    (bundle / path).unlink()
    with pytest.raises(BundleError, match=f"{path}.*missing"):
        open_bundle(bundle)


@pytest.mark.parametrize("path", FILES)
def test_longer_file(bundle: Path, path: str) -> None:
    with (bundle / path).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(BundleError, match=f"{path}.*bytes"):
        open_bundle(bundle)


def test_extra_file(bundle: Path) -> None:
    (bundle / "denoise.mlpackage" / "extra").write_text("x")
    with pytest.raises(BundleError, match=r"denoise\.mlpackage/extra.*not in the manifest"):
        open_bundle(bundle)


def test_file_that_a_desktop_adds(bundle: Path) -> None:
    (bundle / ".DS_Store").write_text("x")
    open_bundle(bundle)


@pytest.mark.parametrize("path", ["tokenizer.json", "golden"])
def test_links_are_refused(bundle: Path, tmp_path: Path, path: str) -> None:
    (bundle / path).rename(tmp_path / "outside")
    (bundle / path).symlink_to(tmp_path / "outside")
    with pytest.raises(BundleError, match=f"{path}.*link"):
        open_bundle(bundle)


def test_listed_file_that_is_a_folder(bundle: Path) -> None:
    (bundle / "tokenizer.json").unlink()
    (bundle / "tokenizer.json").mkdir()
    with pytest.raises(BundleError, match="missing"):
        open_bundle(bundle)


@pytest.mark.parametrize(("change", "fix"), [(1, "update mobile-diffusion"), (-1, "export the bundle again")])
def test_a_bundle_of_another_schema_is_not_opened_but_may_be_replaced(change: int, fix: str, bundle: Path) -> None:
    values = json.loads((bundle / "manifest.json").read_text())
    other = {**values, "schema_version": values["schema_version"] + change, "added": 1}
    (bundle / "manifest.json").write_text(json.dumps(other))
    with pytest.raises(BundleError, match=fix):
        open_bundle(bundle)
    write_sample(bundle, force=True)
    open_bundle(bundle)


@pytest.mark.parametrize(
    "values", [{"files": []}, {"format": "mobile-diffusion-bundle", "files": ["a"]}, {"name": "mine"}]
)
def test_force_keeps_a_folder_with_another_manifest(values: dict[str, object], bundle: Path) -> None:
    (bundle / "manifest.json").write_text(json.dumps(values))
    with pytest.raises(ExportError, match="only a bundle of ours"):
        write_sample(bundle, force=True)


def test_existing_output_is_refused(bundle: Path) -> None:
    before = contents(bundle)
    with pytest.raises(ExportError, match="--force"):
        write_sample(bundle, content={"tokenizer.json": b"new"})
    assert contents(bundle) == before


def test_force_replaces_a_bundle_even_a_damaged_one(bundle: Path) -> None:
    (bundle / "parity.json").unlink()
    write_sample(bundle, force=True, content={"tokenizer.json": b"new"})
    assert (open_bundle(bundle).path / "tokenizer.json").read_bytes() == b"new"
    assert os.listdir(bundle.parent) == ["bundle"]


def test_force_where_nothing_is(tmp_path: Path) -> None:
    write_sample(tmp_path / "new" / "deep", force=True)
    open_bundle(tmp_path / "new" / "deep")


def test_force_keeps_what_is_not_ours(bundle: Path, tmp_path: Path) -> None:
    (bundle / "holiday.jpg").write_text("x")
    with pytest.raises(ExportError, match=r"holiday\.jpg"):
        write_sample(bundle, force=True)
    assert (bundle / "holiday.jpg").exists()
    for name in ("folder", "file"):
        other = tmp_path / name
        other.mkdir() if name == "folder" else other.write_text("x")
        with pytest.raises(ExportError, match="only a bundle of ours"):
            write_sample(other, force=True)
        assert other.exists()


@pytest.mark.parametrize("existing", [False, True])
@pytest.mark.parametrize("error", [ParityError("gate"), RuntimeError("bug"), KeyboardInterrupt(), SystemExit(1)])
def test_failure_leaves_everything_as_it_was(tmp_path: Path, existing: bool, error: BaseException) -> None:
    out = tmp_path / "deep" / "bundle"
    if existing:
        write_sample(out)
    before = contents(tmp_path)
    with pytest.raises(type(error)), staged_folder(out, replace=lambda path: None) as folder:
        (folder / "half").write_text("x")
        raise error
    assert contents(tmp_path) == before
    assert (tmp_path / "deep").exists() is existing


def test_without_exchange_of_names(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mobile_diffusion.staging._exchange", lambda first, second: False)
    write_sample(bundle, force=True, content={"tokenizer.json": b"new"})
    assert (open_bundle(bundle).path / "tokenizer.json").read_bytes() == b"new"
    assert os.listdir(bundle.parent) == ["bundle"]


def test_output_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with pytest.raises(ExportError, match="exists"), staged_folder(out) as folder:
        (folder / "a").write_text("x")
        out.mkdir()
        (out / "other").write_text("theirs")
    assert contents(tmp_path) == {"bundle/other": b"theirs"}


def test_leftovers_of_a_killed_export_go_and_those_of_a_running_one_stay(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    (tmp_path / ".bundle.partial-dead").mkdir()
    with staged_folder(out) as running:
        with staged_folder(out.with_name("bundle2")), pytest.raises(ZeroDivisionError), staged_folder(out):
            assert running.exists()
            assert not (tmp_path / ".bundle.partial-dead").exists()
            raise ZeroDivisionError
        assert running.exists()
    assert sorted(os.listdir(tmp_path)) == ["bundle", "bundle2"]


def test_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ExportError, match="can be written"):
        write_sample(tmp_path / "file" / "bundle")


WRITER = """
import os, sys
from pathlib import Path
from tests.export.samples import write_sample
from export.cli import guard
if len(sys.argv) > 3:
    os.setuid(int(sys.argv[3]))
content = {"denoise.mlpackage/Manifest.json": bytes(int(sys.argv[2]))}
guard.run(lambda: write_sample(Path(sys.argv[1]), content=content))
"""


def run_writer(out: Path, size: int, *user: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Write a bundle with a file of `size` in another process, as another user or with limited files."""

    def set_limit() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    command = [sys.executable, "-c", WRITER, str(out), str(size), *user]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, preexec_fn=set_limit)


def assert_one_line(result: subprocess.CompletedProcess[str], text: str) -> None:
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    assert result.stderr.startswith("error:")
    assert text in result.stderr


def test_parent_that_cannot_be_written() -> None:
    """As another user where we are root, to whom every folder is open."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        nobody = ("65534",) if os.geteuid() == 0 else ()
        assert_one_line(run_writer(Path(folder, "bundle"), 10, *nobody), "Permission denied")
        assert os.listdir(folder) == []
        Path(folder).chmod(0o755)


def test_file_size_limit_is_a_full_disk(tmp_path: Path) -> None:
    assert_one_line(run_writer(tmp_path / "bundle", 2 << 20, limit=1 << 20), "full disk")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("small_disk", ["2m"], indirect=True)
def test_full_file_system(small_disk: Path) -> None:
    write_sample(small_disk / "bundle")
    before = contents(small_disk)
    with pytest.raises(ExportError, match="full disk"):
        write_sample(small_disk / "bundle", force=True, content={"denoise.mlpackage/Manifest.json": bytes(3 << 20)})
    assert contents(small_disk) == before
    with pytest.raises(ExportError, match="full disk"), staged_folder(small_disk / "other") as folder:
        (folder / "fill").write_bytes(bytes((1 << 20) * 3 // 2))
        raise RuntimeError("a library that hides the reason")
    assert contents(small_disk) == before


SLEEPER = """
import sys, time
from pathlib import Path
from mobile_diffusion.staging import staged_folder
from export.cli import guard
def work():
    with staged_folder(Path(sys.argv[1])) as folder:
        (folder / "half").write_text("x")
        print("ready", flush=True)
        time.sleep(60)
guard.run(work)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", SLEEPER, str(tmp_path / "bundle")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        errors = process.stderr.read()
        assert process.wait(30) == 128 + number
    assert errors == f"error: stopped by {number.name} before it was finished; run it again\n"
    assert os.listdir(tmp_path) == []


def test_kill_leaves_what_the_next_export_removes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLEEPER, str(tmp_path / "bundle")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.kill()
    assert len(os.listdir(tmp_path)) == 1
    start = time.monotonic()
    write_sample(tmp_path / "bundle")
    assert os.listdir(tmp_path) == ["bundle"]
    assert time.monotonic() - start < 30
