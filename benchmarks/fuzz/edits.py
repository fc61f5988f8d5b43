"""Ways in which a file differs from a valid one: bytes that are changed, and values of a JSON document."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

EXTREMES = (b"\x00", b"\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\xff" * 8, b"\x00" * 8, b"\xff" * 7 + b"\x7f")
"""Numbers at which lengths, offsets and counts overflow, in both byte orders."""
DEEP = 5000
"""Nested lists, more than a recursive reader survives."""
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    -(2**31) - 1,
    2**63,
    10**30,
    0.5,
    1e308,
    float("inf"),
    float("nan"),
    "",
    "0",
    "../../../etc/passwd",
    "/etc/passwd",
    "a\0b",
    "\ud800",
    "\n",
    "x" * 5000,
    [],
    {},
    [[]],
    [None],
    {"": None},
)
"""What stands in a document instead of the right value."""
HOSTILE = (b'{"a":' * DEEP + b"1" + b"}" * DEEP, b"[" * 10**5, b"1" * 5000)
"""Documents that are nested too deeply, or have a number of too many digits."""
Edit = Callable[[bytes], bytes]
places = st.floats(0, 1, exclude_max=True)
"""Where in a file, as a part of its length."""


@st.composite
def byte_edit(draw: st.DrawFn) -> Edit:
    """One change of bytes: other, fewer, more or repeated ones."""
    place, length = draw(places), draw(st.integers(1, 64))
    kind = draw(st.sampled_from(("flip", "write", "cut", "remove", "insert", "repeat")))
    bit, new = draw(st.integers(0, 7)), draw(st.sampled_from(EXTREMES) | st.binary(min_size=1, max_size=16))

    def edit(data: bytes) -> bytes:
        at = int(place * len(data))
        front, back = data[:at], data[at:]
        if kind == "flip":
            return front + bytes([back[0] ^ 1 << bit]) + back[1:] if back else front
        if kind == "write":
            return front + new + back[len(new) :]
        if kind == "cut":
            return front
        if kind == "remove":
            return front + back[length:]
        return front + (new if kind == "insert" else back[:length] * 8) + back

    return edit


@st.composite
def value_edit(draw: st.DrawFn) -> Callable[[Any], Any]:
    """One change of a document's tree: another value, one less, another name, or one more."""
    place, value = draw(places), draw(st.sampled_from(ODD))
    kind = draw(st.sampled_from(("replace", "replace", "remove", "rename", "add", "repeat", "nest")))

    def edit(tree: Any) -> Any:
        odd = copy.deepcopy(value)
        found = list(_leaves(tree))
        if not found:
            return odd
        holder, key = found[int(place * len(found))]
        if kind == "remove":
            del holder[key]
        elif kind == "rename" and isinstance(holder, dict):
            holder[str(odd)[:20]] = holder.pop(key)
        elif kind == "add" and isinstance(holder, dict):
            holder["unknown"] = odd
        elif kind == "repeat" and isinstance(holder, list):
            holder.extend([holder[key]] * 3)
        elif kind == "nest":
            holder[key] = [holder[key]]
        else:
            holder[key] = odd
        return tree

    return edit


def _leaves(tree: Any) -> Any:
    """Every place of a tree: the container and the key or index in it."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from _leaves(tree[key])


def changed_bytes(data: bytes) -> st.SearchStrategy[bytes]:
    """A file with one to four changes of its bytes."""
    return st.lists(byte_edit(), min_size=1, max_size=4).map(lambda edits: _all(edits, data))


def changed_values(data: bytes) -> st.SearchStrategy[bytes]:
    """A JSON document with one to four changes of its values, or one that is nested too deeply."""

    def change(edits: list[Callable[[Any], Any]]) -> bytes:
        tree = json.loads(data)
        for edit in edits:
            tree = edit(tree)
        return json.dumps(tree).encode()

    edited = st.lists(value_edit(), min_size=1, max_size=4).map(change)
    return st.integers(0, 99).flatmap(lambda number: st.just(HOSTILE[number]) if number < len(HOSTILE) else edited)


def _all(edits: list[Edit], data: bytes) -> bytes:
    for edit in edits:
        data = edit(data)
    return data
