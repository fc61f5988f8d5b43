"""The options that commands which open a checkpoint share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from mobile_diffusion.cli.command_group import CommandGroup
from mobile_diffusion.cli.opening import Opening, parse_interval, parse_lora, parse_size
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.formats.open_options import OpenOptions


def run(*words: str) -> tuple[str, OpenOptions, int]:
    """What a command of one argument and one option gets."""
    got: list[tuple[str, OpenOptions, int]] = []

    def command(
        name: Annotated[str, typer.Argument()], opening: Opening, threads: Annotated[int, typer.Option()] = 2
    ) -> None:
        """Do it."""
        got.append((name, opening.options(), threads))

    app = CommandGroup()
    app.command()(command)
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return got[0]


def test_nothing_given_changes_nothing() -> None:
    assert run("model") == ("model", OpenOptions(), 2)


def test_every_flag_arrives() -> None:
    words = "--size 768x512 --steps 4 --solver euler --spacing trailing --guidance 5 --guidance-kind cfg"
    words += " --prediction v --lora a.safetensors:0.5 --lora b.safetensors --embedding c.safetensors"
    words += " --guidance-interval 0.1,0.8 --guidance-shares 1,0.5,0,0"
    words += " --decoder taesd --tokenizer tok --skip-layers 1 --variant fp16 --threads 1 --windows 2 --tile 256"
    words += " --controlnet canny --controlnet pose.safetensors --adapter ink=a.safetensors --adapter clay=b=c"
    name, options, threads = run("model", *words.split())
    assert (name, threads) == ("model", 1)
    assert options == OpenOptions(
        height=512,
        width=768,
        steps=4,
        solver="euler",
        spacing="trailing",
        guidance=5.0,
        guidance_kind="cfg",
        guidance_interval=(0.1, 0.8),
        guidance_shares=(1.0, 0.5, 0.0, 0.0),
        prediction="v",
        loras=((Path("a.safetensors"), 0.5), (Path("b.safetensors"), 1.0)),
        embeddings=(Path("c.safetensors"),),
        decoder=Path("taesd"),
        tokenizer=Path("tok"),
        skip_layers=1,
        variant="fp16",
        windows=2,
        tile=256,
        controlnets=(Path("canny"), Path("pose.safetensors")),
        adapters=(("ink", Path("a.safetensors")), ("clay", Path("b=c"))),
    )


def test_every_option_of_opening_has_a_flag() -> None:
    names = set(vars(OpenOptions())) - {"height", "width", "loras", "embeddings", "controlnets", "adapters"}
    assert names | {"size", "lora", "embedding", "controlnet", "adapter"} == set(vars(Opening()))


@pytest.mark.parametrize("text", ["", "x", "512x", "x512", "512x512x3", "-64", "5e2", "512 x 512", "५१२", "1000000"])
def test_sizes_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ConfigError, match="--size: expected 512"):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "x", "0.5", "0,0.5,1", "0;1", "0,,1"])
def test_intervals_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ConfigError, match="--guidance-interval: expected"):
        parse_interval(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.safetensors", (Path("a.safetensors"), 1.0)),
        ("a.safetensors:-0.5", (Path("a.safetensors"), -0.5)),
        ("C:\\a.safetensors", (Path("C:\\a.safetensors"), 1.0)),
        ("dir:x/a.safetensors:1e-1", (Path("dir:x/a.safetensors"), 0.1)),
    ],
)
def test_the_scale_follows_the_last_colon(text: str, expected: tuple[Path, float]) -> None:
    assert parse_lora(text) == expected


def test_a_scale_that_is_not_a_number() -> None:
    with pytest.raises(ConfigError, match="FILE:SCALE"):
        Opening(lora=["a.safetensors:1.2.3"]).options()
