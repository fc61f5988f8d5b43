"""Write src/unicode_tables.cpp: what the `tokenizers` library knows of every character.

    python apps/runner/make_unicode_tables.py        # rewrites the file; a test holds it to the installed library

Ids depend on which characters are letters, spaces or accents, and every library has its own version of Unicode.  So the
tables are not taken from Unicode's files: the library is asked about each code point.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

OUT = Path(__file__).parent / "src" / "unicode_tables.cpp"
POINTS = tuple(point for point in range(1, 0x110000) if not 0xD800 <= point <= 0xDFFF)
HANGUL = range(0xAC00, 0xD7A4)
"""Syllables that are composed by arithmetic."""
LAST_CLASS = "\u0345"
"""The mark of the highest combining class, 240: every other mark goes before it."""
WIDTH = 118


def matching(pattern: str) -> list[int]:
    """Code points that a regular expression of the library matches."""
    kept = set(normalizers.Replace(Regex(pattern), "").normalize_str("".join(map(chr, POINTS))))
    return [point for point in POINTS if chr(point) not in kept]


def bert(**steps: bool) -> Callable[[str], str]:
    """One step of BERT's normalizer."""
    names = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    normalize: Callable[[str], str] = normalizers.BertNormalizer(
        **{name: steps.get(name, False) for name in names}
    ).normalize_str
    return normalize


def becoming(normalize: Callable[[str], str], result: Callable[[str], str]) -> list[int]:
    """Code points of which a normalizer makes `result(character)`."""
    return [point for point in POINTS if normalize(chr(point)) == result(chr(point))]


def punctuation() -> list[int]:
    """Code points that BERT's pre-tokenizer makes words of their own."""
    text = "".join(f"a{chr(point)}" for point in POINTS) + "a"
    words = pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)
    return [ord(text[start]) for _, (start, end) in words if end - start == 1 and start % 2 == 1]


def changed(normalize: Callable[[str], str]) -> dict[int, str]:
    """Code points that a normalizer changes, and into what."""
    return {point: found for point in POINTS if (found := normalize(chr(point))) != chr(point)}


def decompositions() -> dict[int, str]:
    """Canonical decompositions, syllables of Hangul left out."""
    return {point: text for point, text in changed(normalizers.NFD().normalize_str).items() if point not in HANGUL}


def compositions() -> dict[tuple[int, int], int]:
    """Pairs of characters that become one."""
    compose, found = normalizers.NFC().normalize_str, {}
    for point in decompositions():
        parts = unicodedata.decomposition(chr(point)).split()
        if len(parts) == 2 and compose(chr(point)) == chr(point):
            pair = (int(parts[0], 16), int(parts[1], 16))
            assert compose("".join(map(chr, pair))) == chr(point), hex(point)
            found[pair] = point
    return found


def combining_classes() -> dict[int, int]:
    """The class of every mark that the library puts in order."""
    order = normalizers.NFD().normalize_str
    found = {}
    for point in POINTS:
        mark, number = chr(point), unicodedata.combining(chr(point))
        if number and (mark == LAST_CLASS or order(f"a{LAST_CLASS}{mark}") == f"a{mark}{LAST_CLASS}"):
            found[point] = number
    return found


def ranges(points: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending code points as first and last of every run."""
    found: list[tuple[int, int]] = []
    for point in points:
        if found and found[-1][1] == point - 1:
            found[-1] = (found[-1][0], point)
        else:
            found.append((point, point))
    return found


def class_ranges(classes: dict[int, int]) -> list[tuple[int, int, int]]:
    """First, last and class of every run of marks of one class."""
    found = []
    for number in sorted(set(classes.values())):
        found += [(*pair, number) for pair in ranges(point for point, one in classes.items() if one == number)]
    return sorted(found)


def table(kind: str, name: str, rows: Iterable[Sequence[int]], comment: str) -> Iterator[str]:
    """One array as C++, filled lines."""
    yield f"\n// {comment}\nconstexpr {kind} {name}_rows[] = {{"
    line = ""
    for row in rows:
        entry = "{" + ",".join(f"0x{value:x}" for value in row) + "},"
        if len(line) + len(entry) > WIDTH:
            yield line
            line = ""
        line += entry
    yield f"{line}\n}};\nconst std::span<const {kind}> {name} = {name}_rows;"


def source() -> str:
    """All of unicode_tables.cpp."""
    clean, han, accents = bert(clean_text=True), bert(handle_chinese_chars=True), bert(strip_accents=True)
    mappings = ((point, *map(ord, text)) for point, text in decompositions().items())
    lower = ((point, *map(ord, text)) for point, text in changed(normalizers.Lowercase().normalize_str).items())
    pairs = sorted((*pair, point) for pair, point in compositions().items())
    lines = [
        f"// Written by make_unicode_tables.py from tokenizers {tokenizers.__version__}; do not edit.",
        '#include "unicode_tables.h"',
        "\nnamespace runner::tables {",
        *table("Range", "letters", ranges(matching(r"\p{L}")), "Letters."),
        *table("Range", "numbers", ranges(matching(r"\p{N}")), "Numbers."),
        *table("Range", "spaces", ranges(matching(r"\s")), "White space."),
        *table("Range", "controls", ranges(becoming(clean, lambda _: "")), "What BERT's clean-up removes."),
        *table("Range", "han", ranges(becoming(han, lambda one: f" {one} ")), "What BERT takes as Chinese characters."),
        *table("Range", "marks", ranges(becoming(accents, lambda _: "")), "Accents: marks without a width."),
        *table("Range", "punctuation", ranges(punctuation()), "What BERT makes a word of its own."),
        *table("Mapping", "lower_case", lower, "Lower case, where it differs."),
        *table("Mapping", "decompositions", mappings, "Canonical decompositions."),
        *table("Composition", "compositions", pairs, "Canonical compositions: first, second, composed."),
        *table("ClassRange", "combining_classes", class_ranges(combining_classes()), "Order of marks; others have 0."),
        "\n}  // namespace runner::tables",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    OUT.write_text(source(), encoding="ascii")
