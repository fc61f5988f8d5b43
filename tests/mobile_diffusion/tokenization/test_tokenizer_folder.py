"""What a damaged or foreign tokenizer folder says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.tokenization.clip_tokenizer import ClipTokenizer
from mobile_diffusion.tokenization.tokenizer_folder import read_tokenizer_folder, stated_length

VOCABULARY = Path(__file__).parents[3] / "mobile_diffusion" / "clip_vocabulary"
SETTINGS, MAP = "tokenizer_config.json", "special_tokens_map.json"
Damage = Callable[[Path], object]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of CLIP's tokenizer folder, to be damaged."""
    return Path(shutil.copytree(VOCABULARY, tmp_path / "tokenizer"))


def change(name: str, **values: Any) -> Damage:
    """Set values in one of the folder's JSON files."""

    def damage(folder: Path) -> None:
        old = json.loads((folder / name).read_text("utf-8")) if (folder / name).exists() else {}
        (folder / name).write_text(json.dumps({**old, **values}), "utf-8")

    return damage


def write(name: str, content: bytes) -> Damage:
    return lambda folder: (folder / name).write_bytes(content)


def cut(name: str, part: float) -> Damage:
    """Lose the end of a file."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[: int(part * len_of(folder / name))])


def len_of(file: Path) -> int:
    return file.stat().st_size


def drop(*names: str) -> Damage:
    return lambda folder: [(folder / name).unlink() for name in names]


def without_padding(folder: Path) -> None:
    change(MAP, pad_token=None)(folder)
    change(SETTINGS, pad_token=None)(folder)


def lose_merges(folder: Path) -> None:
    lines = (folder / "merges.txt").read_bytes().split(b"\n")
    (folder / "merges.txt").write_bytes(b"\n".join(lines[:-101]))


def rename_a_word(folder: Path) -> None:
    file = folder / "vocab.json"
    file.write_bytes(file.read_bytes().replace(b'"photo</w>"', b'"photographik</w>"'))


def double_an_id(folder: Path) -> None:
    file = folder / "vocab.json"
    file.write_bytes(file.read_bytes().replace(b'"photo</w>":1125', b'"photo</w>":1126'))


DAMAGES: list[tuple[Damage, str]] = [
    (drop("vocab.json"), r"expected CLIP's tokenizer \(tokenizer.json, or .*\), got no vocab.json; restore it"),
    (drop("merges.txt"), "got no merges.txt; restore it"),
    (write("vocab.json", b"{"), "vocab.json: expected JSON"),
    (write("vocab.json", b"[]"), "vocab.json: expected a JSON object, got list"),
    (write("vocab.json", b'{"a": "b"}'), "expected a vocabulary with the ids 0, 1, 2, ..."),
    (write("vocab.json", b'{"a": 0, "a": 1}'), "key 'a' twice"),
    (double_an_id, "expected a vocabulary with the ids 0, 1, 2, ..."),
    (cut("vocab.json", 0.5), "vocab.json: expected JSON"),
    (cut("merges.txt", 0.5), "got a merge that makes no token: 'ritt</'; fetch both files again"),
    (lose_merges, r"got a token that no merge makes: .* \(and 99 more\); fetch both files again"),
    (rename_a_word, "got a merge that makes no token: 'photo</w>'; fetch both files again"),
    (write("merges.txt", b"#version: 0.2\na b c\n"), "expected merges of two symbols, got 'a b c' as number 1"),
    (write("merges.txt", b"\xff\xfe"), "merges.txt: expected text"),
    (without_padding, r"expected pad_token in tokenizer_config.json, .*, got none"),
    (change(MAP, pad_token=3), "expected a token's text, or its text and flags, got 3"),
    (change(MAP, eos_token={"content": "<|endoftext|>", "lstrip": "no"}), "expected a token's text, or its text and"),
    (change(SETTINGS, padding_side="left"), "padding_side: expected 'right', got 'left', which is not supported"),
    (change(SETTINGS, truncation_side="left"), "truncation_side: expected 'right'"),
    (change(SETTINGS, split_special_tokens=True), "split_special_tokens: expected False"),
    (change(SETTINGS, add_eos_token=False), "add_eos_token: expected True"),
    (change(SETTINGS, image_token="<image>"), "image_token: expected no such special token, got '<image>'"),
    (change(SETTINGS, added_tokens_decoder=[]), "expected added tokens by id"),
    (change(SETTINGS, added_tokens_decoder={"x": {"content": "a"}}), "expected added tokens by id"),
    (change("added_tokens.json", **{"<toy>": 50000}), "expected id 50000 for the added token '<toy>'"),
    (change("tokenizer.json", added_tokens=[]), r"expected CLIP's tokenizer \(BPE with suffix '</w>'\), got None"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_a_damaged_folder_is_refused_in_one_line(damage: Damage, message: str, folder: Path) -> None:
    damage(folder)
    with pytest.raises(CheckpointError, match=message) as caught:
        ClipTokenizer.from_folder(folder, 77)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_kind_of_tokenizer_is_refused(folder: Path) -> None:
    shutil.copy(VOCABULARY.parents[1] / "assets" / "emoji" / "tokenizer.json", folder)
    with pytest.raises(CheckpointError, match="got WordPiece with suffix None"):
        ClipTokenizer.from_folder(folder, 77)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="got no vocab.json"):
        ClipTokenizer.from_folder(tmp_path / "tokenizer", 77)


def test_lines_may_end_as_on_windows(folder: Path) -> None:
    plain = read_tokenizer_folder(folder)
    merges = folder / "merges.txt"
    merges.write_bytes(merges.read_bytes().replace(b"\n", b"\r\n"))
    assert read_tokenizer_folder(folder).merges == plain.merges


def test_a_tokenizer_json_of_ours_is_enough(tmp_path: Path) -> None:
    """Its padding section says which token pads."""
    opened = ClipTokenizer.from_folder(VOCABULARY, 77)
    opened.save(tmp_path / "tokenizer.json")
    again = ClipTokenizer.from_folder(tmp_path, 77)
    for prompt in ("", "don't <|endoftext|> <|ENDOFTEXT|>!", "naïve 苹果 👩‍🚀"):
        assert again.encode(prompt).ids.tolist() == opened.encode(prompt).ids.tolist()


def test_the_stated_length(folder: Path) -> None:
    assert stated_length(folder) == 77
    change(SETTINGS, model_max_length=1e30)(folder)
    assert stated_length(folder) is None
    change(SETTINGS, model_max_length=2)(folder)
    with pytest.raises(CheckpointError, match="expected a model_max_length of at least 3, got 2"):
        stated_length(folder)
    (folder / SETTINGS).unlink()
    assert stated_length(folder) is None
