"""Which bytes a `Range` asks for (RFC 9110, section 14.1.2)."""

from __future__ import annotations

import pytest

from export.serving.ranges import Unsatisfiable, chosen_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("bytes=0-499", (0, 500)),
        ("bytes=500-999", (500, 1000)),
        ("bytes=-500", (9500, 10000)),
        ("bytes=9500-", (9500, 10000)),
        ("bytes=0-0", (0, 1)),
        ("bytes=-20000", (0, 10000)),
        ("bytes=9000-20000", (9000, 10000)),
        ("bytes=500-499", None),
        ("bytes=0-0,-1", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("lines=0-1", None),
        ("bytes=" + "9" * 1000 + "-", None),
    ],
)
def test_a_range(header: str | None, expected: tuple[int, int] | None) -> None:
    assert chosen_range(header, 10000) == expected


@pytest.mark.parametrize("header", ["bytes=10000-", "bytes=20000-30000", "bytes=-0"])
def test_a_range_behind_the_end(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        chosen_range(header, 10000)


def test_an_empty_file_has_no_range() -> None:
    with pytest.raises(Unsatisfiable):
        chosen_range("bytes=0-", 0)
