"""Write the tables of characters in C++, Kotlin, Swift and TypeScript.

    python apps/runner/make_unicode_tables.py        # rewrites the files; tests compare them with the installed library

They hold the properties that the `tokenizers` library gives each character.  Ids depend on which characters are
letters, spaces or accents, and every library has its own version of Unicode.  So the tables are not taken from
Unicode's files: the library is asked about each code point.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

OUT = Path(__file__).parent / "src" / "unicode_tables.cpp"
KOTLIN = Path(__file__).parents[1] / "android/core/src/main/kotlin/org/mobilediffusion/core/UnicodeTables.kt"
SWIFT = Path(__file__).parents[1] / "ios/MobileDiffusionKit/Sources/MobileDiffusionKit/UnicodeTables.swift"
TYPESCRIPT = Path(__file__).parents[1] / "web/src/unicode-tables.ts"
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


@dataclass(frozen=True)
class Table:
    """Rows of numbers, the first column ascending."""

    kind: str
    """What a row is: Range (first, last), Mapping (from, to...), Composition (first, second, composed) or ClassRange
    (first, last, class)."""
    name: str
    rows: tuple[tuple[int, ...], ...]
    comment: str


def mapping(name: str, changes: dict[int, str], comment: str) -> Table:
    """A table of what characters become."""
    return Table("Mapping", name, tuple((point, *map(ord, text)) for point, text in changes.items()), comment)


@functools.cache
def tables() -> tuple[Table, ...]:
    """All tables."""
    clean, han, accents = bert(clean_text=True), bert(handle_chinese_chars=True), bert(strip_accents=True)
    sets = {
        "letters": (matching(r"\p{L}"), "Letters."),
        "numbers": (matching(r"\p{N}"), "Numbers."),
        "spaces": (matching(r"\s"), "White space."),
        "controls": (becoming(clean, lambda _: ""), "What BERT's clean-up removes."),
        "han": (becoming(han, lambda one: f" {one} "), "What BERT takes as Chinese characters."),
        "marks": (becoming(accents, lambda _: ""), "Accents: marks without a width."),
        "punctuation": (punctuation(), "What BERT makes a word of its own."),
    }
    pairs = sorted((*pair, point) for pair, point in compositions().items())
    classes = class_ranges(combining_classes())
    return (
        *(Table("Range", name, tuple(ranges(points)), comment) for name, (points, comment) in sets.items()),
        mapping("lower_case", changed(normalizers.Lowercase().normalize_str), "Lower case, where it differs."),
        mapping("decompositions", decompositions(), "Canonical decompositions."),
        Table("Composition", "compositions", tuple(pairs), "Canonical compositions: first, second, composed."),
        Table("ClassRange", "combining_classes", tuple(classes), "Order of marks; others have 0."),
    )


def filled(entries: Iterable[str], width: int, gap: str = "") -> Iterator[str]:
    """Entries in lines of at most `width` characters."""
    line = ""
    for entry in entries:
        if len(line) + len(gap) + len(entry) > width:
            yield line
            line = ""
        line += gap + entry if line else entry
    yield line


def cpp_table(table: Table) -> Iterator[str]:
    """One array as C++."""
    yield f"\n// {table.comment}\nconstexpr {table.kind} {table.name}_rows[] = {{"
    yield from filled(("{" + ",".join(f"0x{value:x}" for value in row) + "}," for row in table.rows), WIDTH)
    yield f"}};\nconst std::span<const {table.kind}> {table.name} = {table.name}_rows;"


def source() -> str:
    """All of unicode_tables.cpp."""
    lines = [
        f"// Written by make_unicode_tables.py from tokenizers {tokenizers.__version__}; do not edit.",
        '#include "unicode_tables.h"',
        "\nnamespace runner::tables {",
        *(line for table in tables() for line in cpp_table(table)),
        "\n}  // namespace runner::tables",
    ]
    return "\n".join(lines) + "\n"


def base36(value: int) -> str:
    """A number to the base 36."""
    return (base36(value // 36) if value > 35 else "") + "0123456789abcdefghijklmnopqrstuvwxyz"[value % 36]


def relative_rows(table: Table) -> Iterator[tuple[int, ...]]:
    """Rows as differences, which are shorter: the gap since the row before, and the length of a range."""
    end = 0
    for first, second, *rest in table.rows:
        if table.kind == "Composition":
            yield (first, second, *rest)
        elif table.kind == "Mapping":
            yield (first - end, second, *rest)
            end = first
        else:
            yield (first - end, second - first + 1, *rest)
            end = second + 1


def kotlin_source() -> str:
    """All of UnicodeTables.kt: texts, as a class may hold few numbers."""
    lines = [
        f"// Written by make_unicode_tables.py from tokenizers {tokenizers.__version__}; do not edit.",
        "package org.mobilediffusion.core",
        "\n/**\n * Tables of characters: numbers to the base 36, split by commas; rows are split by white space.\n *",
        " * A row of ranges begins with the gap since the range before and a length, a row of mappings with the gap",
        " * since the character before.\n */",
        "internal object UnicodeTables {",
    ]
    for place, table in enumerate(tables()):
        lines += [*([""] if place else []), f"    /** {table.comment} */", f"    const val {table.name.upper()} ="]
        rows = (",".join(map(base36, row)) for row in relative_rows(table))
        quotes = '"""'
        lines += [f"        {quotes}", *filled(rows, WIDTH, " "), quotes]
    return "\n".join([*lines, "}"]) + "\n"


def camel_case(name: str) -> str:
    """A name as Swift and TypeScript have it."""
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def swift_source() -> str:
    """All of UnicodeTables.swift: texts, as large literals of arrays take the compiler minutes."""
    lines = [
        f"// Written by make_unicode_tables.py from tokenizers {tokenizers.__version__}; do not edit.",
        "\n/// Tables of characters: numbers to the base 36, split by commas; rows are split by white space.",
        "///",
        "/// A row of ranges begins with the gap since the range before and a length, a row of mappings with the gap",
        "/// since the character before.",
        "enum UnicodeTables {",
    ]
    for place, table in enumerate(tables()):
        name, quotes = camel_case(table.name), '"""'
        rows = (",".join(map(base36, row)) for row in relative_rows(table))
        lines += [*([""] if place else []), f"  /// {table.comment}", f"  static let {name} = {quotes}"]
        lines += [f"    {line}" for line in filled(rows, WIDTH - 2, " ")] + [f"    {quotes}"]
    return "\n".join([*lines, "}"]) + "\n"


def typescript_source() -> str:
    """All of unicode-tables.ts: texts, as in Swift."""
    lines = [
        f"// Written by make_unicode_tables.py from tokenizers {tokenizers.__version__}; do not edit.",
        "//",
        "// Tables of characters: numbers to the base 36, split by commas; rows are split by white space.",
        "//",
        "// A row of ranges begins with the gap since the range before and a length, a row of mappings with the gap",
        "// since the character before.",
    ]
    for table in tables():
        rows = (",".join(map(base36, row)) for row in relative_rows(table))
        lines += [f"\n/** {table.comment} */", f"export const {camel_case(table.name)} = `"]
        lines += [*filled(rows, WIDTH, " "), "`;"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    OUT.write_text(source(), encoding="ascii")
    KOTLIN.write_text(kotlin_source(), encoding="ascii")
    SWIFT.write_text(swift_source(), encoding="ascii")
    TYPESCRIPT.write_text(typescript_source(), encoding="ascii")
