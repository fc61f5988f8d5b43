"""Prompts that both programs were asked to read."""

from __future__ import annotations

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
