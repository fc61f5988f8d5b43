"""The public names: imported on first use, and with examples that are true."""

from __future__ import annotations

import ast
import doctest
import importlib
import io
import subprocess
import sys
from pathlib import Path

import pytest

import export
import mobile_diffusion
from mobile_diffusion.checkpoint import Model, save_checkpoint

PACKAGES = {"export": export, "mobile_diffusion": mobile_diffusion}
RESULTS = {"Bundle", "Exported", "MobileDiffusionError", "Model", "ParityReport", "Verification"}
"""Names that a caller gets and does not call: the examples of the others show them."""
OF_EXPORT = ("export_target", "open_bundle", "verify_bundle")
"""Their examples continue one another."""


def examples_of(package: str, name: str) -> list[doctest.DocTest]:
    """The examples in a docstring, without those of methods."""
    found = doctest.DocTestFinder(recurse=False).find(getattr(PACKAGES[package], name), name, globs={})
    return [each for each in found if each.examples]


def run_examples(package: str, name: str) -> None:
    """Fail with doctest's report when an example does not print what it says, or when there is none."""
    examples, report = examples_of(package, name), io.StringIO()
    assert examples
    for each in examples:
        assert doctest.DocTestRunner().run(each, out=report.write).failed == 0, report.getvalue()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_can_be_imported(package: str) -> None:
    module = PACKAGES[package]
    assert all(getattr(module, name) is not None for name in module.__all__)
    assert set(module.__all__) <= set(dir(module))
    assert set(module._MODULES) == set(module.__all__) - {"__version__"}


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_see_the_names_that_python_imports(package: str) -> None:
    tree = ast.parse(Path(PACKAGES[package].__file__ or "").read_text(encoding="utf-8"))
    (block,) = (each for each in tree.body if isinstance(each, ast.If))
    imports = [each for each in block.body if isinstance(each, ast.ImportFrom)]
    seen = {name.name: each.module for each in imports for name in each.names}
    assert seen == PACKAGES[package]._MODULES


@pytest.mark.parametrize("package", PACKAGES)
def test_a_public_name_is_not_a_submodule(package: str) -> None:
    """Importing a submodule would put the module in the name's place."""
    for name in PACKAGES[package].__all__:
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"{package}.{name}")


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'export_everything'"):
        PACKAGES[package].export_everything  # noqa: B018


def test_importing_the_packages_imports_nothing_heavy() -> None:
    script = "import export, mobile_diffusion, sys; print(*{'importlib.metadata', 'numpy', 'torch'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[1], capture_output=True, text=True)
    assert (run.stdout.strip(), run.returncode) == ("", 0), run.stderr


def test_packages_have_one_version() -> None:
    assert export.__version__ == mobile_diffusion.__version__
    assert export.__version__[0].isdigit()


@pytest.mark.parametrize("name", sorted({*mobile_diffusion.__all__} - RESULTS - {"__version__"}))
def test_examples_of_mobile_diffusion(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_examples("mobile_diffusion", name)


@pytest.mark.parametrize("name", ["CoreAIOptions", "CoreMLOptions"])
def test_examples_of_options(name: str) -> None:
    run_examples("export", name)


def test_examples_of_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Model) -> None:
    """One after another: what is exported is opened and verified."""
    assert {*OF_EXPORT, "CoreAIOptions", "CoreMLOptions", "__version__"} == {*export.__all__} - RESULTS
    monkeypatch.chdir(tmp_path)
    save_checkpoint(tiny_model, "my-model")
    for name in OF_EXPORT:
        run_examples("export", name)
