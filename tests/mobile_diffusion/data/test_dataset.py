"""Samples: captions, round trip, one-line errors for what is not a data set; keywords and licences."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobile_diffusion.data import (
    LICENCES,
    STYLES,
    Sample,
    captions,
    choose_styles,
    licence_summary,
    load_dataset,
)
from mobile_diffusion.data.concepts import clean_keywords
from mobile_diffusion.data.dataset import load_image, write_dataset
from mobile_diffusion.errors import DataError


def sample(folder: Path) -> Sample:
    return Sample(
        id="3d/1F34E",
        style="3d",
        hexcode="1F34E",
        emoji="🍎",
        label="red apple",
        keywords=("fruit", "piñata"),
        group="food",
        family="apple",
        split="train",
        package="@lobehub/fluent-emoji-3d",
        version="1.1.0",
        licence="MIT",
        image="images/3d/1F34E.png",
        folder=folder,
    )


def test_every_caption_form(tmp_path: Path) -> None:
    assert captions(sample(tmp_path)) == ["red apple, 3d", "fruit, 3d", "piñata, 3d", "red apple"]


def test_round_trip(tmp_path: Path) -> None:
    write_dataset([sample(tmp_path)], tmp_path)
    assert load_dataset(tmp_path) == [sample(tmp_path)]
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.jsonl"]


@pytest.mark.parametrize("damage", ["missing", "cut", "field", "split", "bytes"])
def test_not_a_data_set_is_one_line(tmp_path: Path, damage: str) -> None:
    path = write_dataset([sample(tmp_path)], tmp_path)
    content = path.read_bytes()
    damaged = {
        "cut": content[:-20],
        "field": content.replace(b'"label"', b'"title"'),
        "split": content.replace(b'"train"', b'"test"'),
        "bytes": b"\xff\xfe",
    }
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(damaged[damage])
    with pytest.raises(DataError, match=r"expected a data set.*data fetch") as caught:
        load_dataset(tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_picture_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1F34E\.png.*data fetch"):
        load_image(sample(tmp_path))


def test_keywords_are_words_unique_lowercase_without_the_label() -> None:
    words = ["red_apple", "Fruit", "fruit", ":D", "x", "<3", "8", " an  apple ", "", "Red apple", "piñata"]
    assert clean_keywords(words, "Red apple") == ("fruit", "8", "an apple", "piñata")


def test_unknown_style_names_the_choices() -> None:
    with pytest.raises(DataError, match=r"3d, fluent, flat.*'openmoji'"):
        choose_styles(["3d", "openmoji"])


def test_styles_come_in_table_order() -> None:
    assert [style.name for style in choose_styles(["flat", "3d"])] == ["3d", "flat"]
    assert choose_styles([]) == tuple(STYLES.values())


def test_summary_names_every_package_and_attribution() -> None:
    text = licence_summary(STYLES.values())
    assert all(style.package.address in text for style in STYLES.values())
    assert all(licence.attribution in text and licence.spdx in text for licence in LICENCES.values())
