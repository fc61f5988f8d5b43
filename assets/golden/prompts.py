"""Prompts of every script, and of everything else that a tokenizer may do differently.

The golden token files hold all of them; the tests of the reference and of the C++ runner add longer lists of their own.
"""

from __future__ import annotations

import random

COLLECTED = (
    "",
    " ",
    "a red apple, 3d",
    "  Smiling FACE\twith sunglasses!\n",
    "it's a co-op: re-use (50%) of half-moons & stars...",
    "a photo of an astronaut riding a horse on mars, 8k, trending on artstation",
    "(masterpiece:1.2), ((best quality)), [ugly|bad], <lora:name:0.8>",
    "don't can't we'll they've I'm he'd it's you're rock'n'roll 'tis O'Neill's DON'T SHOUT'S",
    "!!! ??? ... ?!?! ---- ____ ((()))",
    "[[]] {} <> <|> ||| \\ / ~~ `` ^^ $$ %% && ** ++ == ;; ::",
    "<|endoftext|> <|ENDOFTEXT|>!<|StartOfText|>. <|endoftext <|startoftext|>x",
    "[MASK] a [SEP] cat [sep][CLS][PAD] [UNK]",
    "a<Cat>photo of <cat> SKS  <left>  and <right>  \u00e9-thing E\u0301-THING <Cat>_1",
    "numbers 1,234.5 007 1e-5 3D 4k \u00bd \u2460 \u00b2 \u2177 \u00d7 \u4e94 \u0663 \u096b",
    "I i \u0130 \u0131 \u0130stanbul ISTANBUL diyarbak\u0131r",
    "na\u00efve caf\u00e9 cafe\u0301 \u00c5ngstr\u00f6m Zo\u00eb Zoe\u0308 stra\u00dfe STRASSE",
    "\u01c5 \ufb01 \ufb03 \u01c4 \u1e9e \u03c2 \u03a3 \u038c\u0394\u039f\u03a3",
    "e\u0301\u0302\u0303 q\u0323\u0307 q\u0307\u0323 \u0301\u0301 \u1100\u1161\u11a8 \uac01",
    "\u212b \u2126 \u0958 \u0344 \u0f73 \ufb2c",
    "tab\tline\nreturn\r\nfeed\x0c\x0b nel\x85 nbsp\xa0",
    "ogham\u1680 mvs\u180e ls\u2028ps\u2029 wide\u3000 zw\u200b \ufeff joiner\u200d",
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f",
    "control \x01\x02\x07\x1b\x1c\x1f\x7f\x80\x9f \ufffd \ufffe \uffff \U0010ffff \ue000",
    "\u202eleft\u202c \u2066isolate\u2069 soft\u00adhyphen \u200c \ufe0f \ufe0e",
    "\U0001f469\u200d\U0001f680 \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f44d\U0001f3fd",
    "\U0001f3f3\ufe0f\u200d\U0001f308 \u2764\ufe0f\u200d\U0001f525",
    "1\ufe0f\u20e3 \U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7",
    "\U0001f600 grinning face \U0001f34e \U0001f3f4\U000e0067\U000e0062\U000e007f",
    "\u043a\u0440\u0430\u0441\u043d\u043e\u0435 \u044f\u0431\u043b\u043e\u043a\u043e",
    "\u03ba\u03cc\u03ba\u03ba\u03b9\u03bd\u03bf \u03bc\u03ae\u03bb\u03bf",
    "\u7ea2\u82f9\u679c on \u767d background",
    "\u8d64\u3044\u308a\u3093\u3054\u3001\u30ea\u30f3\u30b4",
    "\ube68\uac04 \uc0ac\uacfc",
    "\u062a\u0641\u0627\u062d\u0629 \u062d\u0645\u0631\u0627\u0621",
    "\u05ea\u05e4\u05d5\u05d7 \u05d0\u05d3\u05d5\u05dd",
    "\u0932\u093e\u0932 \u0938\u0947\u092c",
    "\u0e41\u0e2d\u0e1b\u0e40\u0e1b\u0e34\u0e25\u0e2a\u0e35\u0e41\u0e14\u0e07",
    "\u1240\u12ed \u1356\u121d \u10ec\u10d8\u10d7\u10d4\u10da\u10d8 \u056f\u0561\u0580\u0574\u056b\u0580",
    "\u16a0\u16a2 \U00010330\U00010331 \U0001d49c\U0001d4eb \U00013000",
    "\ua66e \u0f68\u0f7c \u1400 \u2d30 \U0002f800 \uf900",
    "&amp; &lt;b&gt; &#39; \u00c3\u00a9 \u00e2\u20ac\u2122",
    "unbelievablyhyperantidisestablishmentarianistic teacups",
    "antidisestablishmentarianism" * 4,
    "x" * 100,
    "x" * 101,
    "a " * 200,
    "\u82f9\u679c" * 100,
    "w" * 2_000,
    "a cat and a dog and a car and a rocket and a heart and a pizza and a tree and a house and a star",
)
"""Empty, usual, accented, joined, over-long, of many scripts; special and added tokens, and what looks like them."""

SPANS = (
    (0x0001, 0x0700, 16),
    (0x0700, 0x1400, 32),
    (0x1400, 0x1680, 128),
    (0x1680, 0x2E80, 16),
    (0x2E80, 0x3400, 32),
    (0x3400, 0xA000, 2048),
    (0xA000, 0xA480, 128),
    (0xA480, 0xAC00, 32),
    (0xAC00, 0xD7B0, 512),
    (0xD7B0, 0xD800, 16),
    (0xE000, 0xF900, 2048),
    (0xF900, 0xFFFE, 32),
    (0x10000, 0x11C00, 32),
    (0x11C00, 0x1CF00, 512),
    (0x1CF00, 0x1F300, 32),
    (0x1F300, 0x1FB00, 16),
    (0x1FB00, 0x2F800, 8192),
    (0x2F800, 0x2FA20, 64),
    (0x2FA20, 0xE0000, 65536),
    (0xE0000, 0xE0200, 64),
    (0xF0000, 0x10FFFF, 65536),
)
"""First code point, end, and the length of the runs that a prompt each is drawn from: short ones where scripts change.

Surrogates are in none of them.
"""
_SAMPLE = 9
_PIECES = (
    *" \t\n\xa0'!.,?-_&<>|1\u0663\u00bdaBz\u00e9\u00df\u0130\u03c3",
    *("'s", "'LL", "n't", "<|endoftext|>", "[MASK]", "<Cat>", "sks", "the", "photo", "\u0301", "\u200d"),
)
_MIXED = ((1, 0x3100), (0x300, 0x370), (0xAC00, 0xD7A4))


def scripts() -> list[str]:
    """A prompt of each run of SPANS: some of its characters, every third prompt with spaces between them."""
    starts = [(point, min(point + size, end)) for first, end, size in SPANS for point in range(first, end, size)]
    return [_sample(number, first, end) for number, (first, end) in enumerate(starts)]


def _sample(number: int, first: int, end: int) -> str:
    points = random.Random(first).sample(range(first, end), min(_SAMPLE, end - first))
    return (" " if number % 3 == 0 else "").join(map(chr, points))


def mixtures(count: int) -> list[str]:
    """Words, spaces, punctuation, special tokens, marks and characters of many scripts, joined at random."""
    draw = random.Random(5)

    def piece() -> str:
        return draw.choice(_PIECES) if draw.random() < 0.6 else chr(draw.randrange(*draw.choice(_MIXED)))

    return ["".join(piece() for _ in range(draw.choice((1, 2, 5, 13, 40)))) for _ in range(count)]


def golden_prompts() -> list[str]:
    """The prompts of every golden token file, each once."""
    return list(dict.fromkeys([*COLLECTED, *scripts(), *mixtures(400)]))
