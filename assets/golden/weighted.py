"""Prompts with weights and of several windows, as every language must read them.

The tests compare the reference with what AUTOMATIC1111's web UI and Compel make of the same prompts.
"""

from __future__ import annotations

from typing import Any

from assets.golden.tokens import CLIP, FULL
from mobile_diffusion.prompts.reading import Version, read_prompt
from mobile_diffusion.tokenization.clip_tokenizer import ClipTokenizer

LENGTH = 77

WORDS = "a red cat and a blue dog on the green tree in a warm house by the cold river under an old bridge of stone"
LONG = " ".join([WORDS] * 8)
"""More than 200 tokens, without a comma."""
COMMAS = ", ".join([WORDS, "one two three four five six", "a small village under snow"] * 5)

WEBUI = (
    "",
    "a red apple",
    "an (important) word",
    "((very)) [[little]] (house:1.3) a [quiet] (loud:0.5) place",
    "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
    "(unbalanced",
    "unbalanced) [here",
    "]( :1.2) (:1.2)",
    r"\(literal\] \\ \back \[slash\)",
    "(unnecessary)(parens)(un)even",
    "(one:1.) (half:.5) (minus:-0.5) (plus:+1.5) (word:1e3) (a:b) (c: 1.2)",
    "() [] (()) ([]) []()",
    "before BREAK after",
    "(before BREAK after) BREAK (one BREAK two:1.0) BREAKING _BREAK \u00e9BREAK",
    "BREAK BREAK end BREAK",
    "(\u65e5\u672c:1.4) \U0001f600 (\u00fcber:0.7)",
    LONG,
    COMMAS,
    f"({LONG}:1.2) [{COMMAS}]",
    f"{WORDS} {WORDS} {WORDS}, one two three four five BREAK ({COMMAS}:0.8)",
)
COMPEL = (
    "a red apple",
    "a red++ apple",
    "a red--- apple",
    "a (red apple)1.4 on- (a table)0.3 today",
    "(a (very++ old)1.2 house)0.7 here",
    "(unbalanced red++ (word)-",
    "a (b c)++ ++ x(y)++ well-known -- 3+ co-op+",
    r"a \(literal\)++ (\(b\) c)-- d\+ e",
    '"quoted words"1.3 and "it is (nested)- here"++ "open',
    "(one)1. (half).5 (two)2 (word)1e3 (nothing)0 (x)+1.5",
    "a,b,,c (d.e,f)1.5",
    "()+ (())0.5 (  )- end",
    "(\u65e5\u672c)1.4 \U0001f600 \u00fcber-",
    "red- and blue- and (old green)0.8",
    f"{LONG} (cat)1.5 and dog-- here",
)
PLAIN = ("a (red) [apple]++", LONG, COMMAS, f"{COMMAS} {COMMAS}")
REFUSED = (
    ("(a:1.2.3)", "a1111", "expected a weight such as 1.3 after a colon"),
    ("(a:.)", "a1111", "expected a weight such as 1.3 after a colon"),
    ("(a:101)", "a1111", "expected weights from -100 to 100"),
    (f"(a:{'9' * 400})", "a1111", "expected weights from -100 to 100"),
    ("(" * 49 + "a", "a1111", "expected weights from -100 to 100"),
    ("(a)100.5", "compel", "expected weights from -100 to 100"),
    ("a" + "+" * 49, "compel", "expected weights from -100 to 100"),
    ("(" * 101, "compel", "at most 100 brackets inside each other"),
    ('("a", "b").blend(1, 1)', "compel", '".blend("'),
    ("a cat.swap(dog)", "compel", '".swap("'),
    ("a\0", "a1111", "without NUL bytes"),
)


def weighted_file() -> dict[str, Any]:
    """Windows, weights and shares of every prompt, by the reference."""
    tokenizer = ClipTokenizer.from_folder(CLIP, LENGTH)
    prompts = {"a1111": WEBUI, "compel": COMPEL, "plain": PLAIN}
    asked = [(prompt, syntax) for syntax, found in prompts.items() for prompt in found]
    return {
        "kind": "clip-bpe",
        "max_tokens": LENGTH,
        "tokenizer": FULL,
        "cases": [_case(tokenizer, prompt, syntax, windows) for prompt, syntax in asked for windows in (1, 3)],
        "refused": [{"prompt": prompt, "syntax": syntax, "message": message} for prompt, syntax, message in REFUSED],
    }


def _case(tokenizer: ClipTokenizer, prompt: str, syntax: str, windows: int) -> dict[str, Any]:
    reading = read_prompt(tokenizer, prompt, syntax, windows)
    return {
        "prompt": prompt,
        "syntax": syntax,
        "windows": windows,
        "cut": reading.cut,
        "empty": reading.empty is not None,
        "versions": [_version(version) for version in reading.versions],
    }


def _version(version: Version) -> dict[str, Any]:
    windows = []
    for tokens, weights in zip(version.tokens, version.weights[:, 0].tolist(), strict=True):
        count = int(tokens.mask.sum())
        windows.append({"ids": tokens.ids[:count].tolist(), "weights": weights[:count]})
    return {"share": version.share, "windows": windows}
