"""Every script of benchmarks/ can be imported, reads its arguments in the same way, and shows its docstring as help."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.measuring.command_line import chosen, run_script
from mobile_diffusion.errors import ConfigError

ROOT = Path(__file__).parents[2]
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sorted((ROOT / "benchmarks").glob("*/*.py"))
]


@pytest.mark.parametrize("name", MODULES)
def test_a_script_shows_its_help(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = import_module(name)
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    assert "sys.path" not in source and "argparse" not in source
    assert hasattr(module, "main") == ("run_script(main, __doc__)" in source and "def run_script" not in source)
    if not hasattr(module, "main"):
        return
    assert f"python -m {name}" in (module.__doc__ or ""), "the docstring shows how the script is run"
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        run_script(module.main, module.__doc__)
    shown = capsys.readouterr().out
    assert ended.value.code in (0, None)
    assert module.__doc__.splitlines()[0] in shown and "Usage:" in shown


def test_an_error_of_ours_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise ConfigError("rows.toml: expected a table, got a list")

    monkeypatch.setattr(sys, "argv", ["script"])
    with pytest.raises(SystemExit) as ended:
        run_script(main, "A script.")
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: rows.toml: expected a table, got a list\n"


def test_an_unknown_name_is_refused_with_the_choices() -> None:
    assert chosen(None, ("a", "b"), "row") == ["a", "b"] and chosen(["b"], ("a", "b"), "row") == ["b"]
    with pytest.raises(Exception, match="expected a row of a, b, got 'c'"):
        chosen(["c"], ("a", "b"), "row")
