"""Commands from functions: help and example from the docstring, options from the fields of dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from mobile_diffusion.cli.command_group import CommandGroup, split_example


@dataclass(frozen=True)
class Options:
    """What several commands share."""

    depth: Annotated[int, typer.Option(help="How deep.")]
    name: Annotated[list[str], typer.Option(help="May be repeated.")] = field(default_factory=list)


@pytest.fixture
def called() -> list[Any]:
    return []


@pytest.fixture
def app(called: list[Any]) -> CommandGroup:
    group = CommandGroup("app", "Works.")

    @group.command()
    def work(what: Annotated[str, typer.Argument()], options: Options, fast: bool = False) -> None:
        """Work on [it].

        A second
        paragraph.

        Example:

            app work "a b" --depth 3
        """
        called.append((what, options, fast))

    @group.command()
    def rest() -> None:
        """Rest."""

    return group


def run(app: CommandGroup, *words: str) -> Any:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "100"})


def test_the_fields_of_a_dataclass_become_options(app: CommandGroup, called: list[Any]) -> None:
    result = run(app, "work", "it", "--depth", "2", "--name", "a", "--name", "b", "--fast")
    assert result.exit_code == 0, result.output
    assert called == [("it", Options(2, ["a", "b"]), True)]
    assert run(app, "work", "it", "--depth", "2").exit_code == 0
    assert called[1] == ("it", Options(2), False)


def test_a_field_without_a_default_is_required(app: CommandGroup) -> None:
    assert "--depth" in run(app, "work", "it").output


def test_the_example_ends_the_help_and_is_not_in_the_list(app: CommandGroup) -> None:
    shown = run(app, "work", "--help").output
    assert 'app work "a b" --depth 3' in shown.split("Example:")[1]
    assert "Work on [it]." in shown and "A second paragraph." in shown and "May be repeated." in shown
    listed = run(app, "--help").output
    assert "Work on [it]." in listed and "Example" not in listed and "paragraph" not in listed


def test_a_wrong_option_is_raised_for_the_caller(app: CommandGroup) -> None:
    with pytest.raises(typer.exceptions.TyperException, match="--wide"):
        app(args=["work", "it", "--depth", "1", "--wide"])


def test_a_docstring_without_an_example() -> None:
    assert split_example("Rest.") == ("Rest.", "")
    assert split_example("Draw. Example:\n\n    x y") == ("Draw.", "x y")
