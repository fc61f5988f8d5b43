"""Families hold near-duplicates together; the split is a function of the family alone."""

from __future__ import annotations

import hashlib

import pytest

from mobile_diffusion.data.concept_families import ALWAYS_TRAIN, HELD_OUT_SHARE, family_of, split_of

NEAR_DUPLICATES = [
    (1, 25, ["farmer", "man farmer", "woman farmer"]),
    (1, 27, ["person walking", "woman walking: facing right"]),
    (1, 23, ["person", "woman", "man: red hair", "person: bald", "man: beard"]),
    (1, 30, ["kiss: woman, man", "couple with heart", "couple with heart: man, man"]),
    (1, 30, ["family: man, woman, boy", "family", "family: adult, child"]),
    (1, 26, ["merperson", "merman", "mermaid"]),
    (5, 58, ["three o\N{RIGHT SINGLE QUOTATION MARK}clock", "three-thirty"]),
    (5, 59, ["new moon", "crescent moon", "full moon face"]),
    (0, 14, ["red heart", "broken heart", "two hearts", "heart on fire"]),
    (3, 34, ["cat", "cat face", "black cat"]),
    (5, 54, ["automobile", "oncoming taxi", "police car", "racing car"]),
    (8, 96, ["red square", "blue circle", "white medium-small square", "small orange diamond"]),
    (8, 94, ["keycap: 1", "keycap: #"]),
    (8, 85, ["up arrow", "SOON arrow"]),
    (0, 12, ["cat with tears of joy", "grinning cat"]),
]


@pytest.mark.parametrize(("group", "subgroup", "labels"), NEAR_DUPLICATES)
def test_near_duplicates_share_a_family(group: int, subgroup: int, labels: list[str]) -> None:
    assert len({family_of(label, group, subgroup) for label in labels}) == 1


def test_hearts_of_all_groups_are_one_family_but_organs_and_gestures_are_not() -> None:
    assert family_of("heart suit", 6, 63) == family_of("red heart", 0, 14) == "heart"
    assert family_of("anatomical heart", 1, 22) != "heart"
    assert family_of("couple with heart", 1, 30) == "couple"


def test_cat_faces_and_cats_are_one_family() -> None:
    assert family_of("crying cat", 0, 12) == family_of("cat face", 3, 34) == "cat"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Aries", "Taurus"),
        ("moon cake", "full moon"),
        ("dog", "hot dog"),
        ("sun", "sunflower"),
        ("car", "card"),
    ],
)
def test_different_things_keep_apart(one: str, other: str) -> None:
    assert family_of(one, 8, 87) != family_of(other, 8, 87)


@pytest.mark.parametrize(
    ("label", "group", "subgroup"),
    [
        ("red apple", 4, 42),
        ("pizza", 4, 44),
        ("cat", 3, 34),
        ("cat face", 3, 34),
        ("red heart", 0, 14),
        ("automobile", 5, 54),
        ("rocket", 5, 56),
        ("sun", 5, 59),
        ("dog face", 3, 34),
        ("house", 5, 51),
        ("deciduous tree", 3, 41),
        ("fish", 3, 38),
        ("grinning face", 0, 0),
        ("smiling face", 0, 1),
    ],
)
def test_demonstration_concepts_are_trained_on(label: str, group: int, subgroup: int) -> None:
    assert split_of(family_of(label, group, subgroup)) == "train"


def test_split_is_the_hash_of_the_name() -> None:
    names = [f"family {number}" for number in range(4000)]
    held = {name for name in names if split_of(name) == "held-out"}
    expected = {
        name for name in names if int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) / 16.0**16 < HELD_OUT_SHARE
    }
    assert held == expected
    assert 0.06 < len(held) / len(names) < 0.10


def test_split_never_changes() -> None:
    """Weights are shipped with this split: a change here makes their held-out results void."""
    assert [split_of(name) for name in ("penguin", "volcano", "keycap")] == ["held-out"] * 3
    assert [split_of(name) for name in ("koala", "clock face", *sorted(ALWAYS_TRAIN))] == ["train"] * 15
