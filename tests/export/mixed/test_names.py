"""Names of modules that stay in float32."""

from __future__ import annotations

import pytest

from export.mixed.names import AUTO, CHECKPOINT, NONE, check, covers, names_of, parse, setting_of, shortest, spelled
from mobile_diffusion.errors import ConfigError

MODULES = ("", "unet.conv_in", "unet.mid", "unet.mid.attn1", "unet.mid.attn1.to_q", "unet.mid.norm", "unet.middle")


def covered(*names: str) -> set[str]:
    return {module for module in MODULES if covers(names, "denoise", module)}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("unet.mid",), {"unet.mid", "unet.mid.attn1", "unet.mid.attn1.to_q", "unet.mid.norm"}),
        (("unet.mid:own",), {"unet.mid"}),
        (("unet.*.attn1:own",), {"unet.mid.attn1"}),
        (("unet.*.attn1",), {"unet.mid.attn1", "unet.mid.attn1.to_q"}),
        (("denoise:own",), {""}),
        (("denoise",), set(MODULES)),
        (("decode_image",), set()),
        (("unet.conv_in", "unet.mid.norm"), {"unet.conv_in", "unet.mid.norm"}),
    ],
)
def test_a_name_covers(names: tuple[str, ...], found: set[str]) -> None:
    assert covered(*names) == found


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        (set(), ()),
        ({"unet.mid", "unet.mid.attn1", "unet.mid.attn1.to_q", "unet.mid.norm"}, ("unet.mid",)),
        ({"unet.mid"}, ("unet.mid:own",)),
        ({"unet.mid.attn1"}, ("unet.mid.attn1:own",)),
        ({"", "unet.middle"}, ("denoise:own", "unet.middle")),
        (set(MODULES), ("denoise",)),
    ],
)
def test_the_shortest_names_cover_exactly_what_was_chosen(chosen: set[str], names: tuple[str, ...]) -> None:
    assert shortest(chosen, MODULES, "denoise") == names
    assert covered(*names) == chosen


def test_names_are_read_as_they_are_spelled() -> None:
    names = parse(" unet.conv_in , unet.*.attn1:own,unet.conv_in")
    assert names == ("unet.conv_in", "unet.*.attn1:own")
    assert parse(spelled(names)) == names == names_of(spelled(names))
    assert setting_of(spelled(names)) == {"mixed_precision": "unet.conv_in,unet.*.attn1:own"}
    assert setting_of(NONE) == setting_of(CHECKPOINT) == {} and names_of(NONE) == names_of(CHECKPOINT) == ()


@pytest.mark.parametrize("text", ["", "unet.conv_in,,unet.mid", ":own", "unet.mid,"])
def test_an_empty_name_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected names of modules with commas in between"):
        parse(text)


def test_what_is_measured_is_no_list_of_names() -> None:
    with pytest.raises(ConfigError, match="use export_target"):
        names_of(AUTO)


def test_a_name_of_no_module_is_refused_with_examples() -> None:
    check(("unet.mid", "denoise:own", "*.norm"), [("denoise", MODULES)])
    with pytest.raises(ConfigError, match="such as unet.conv_in, unet.mid, unet.middle, got 'unet.nowhere'"):
        check(("unet.mid", "unet.nowhere"), [("denoise", MODULES)])
