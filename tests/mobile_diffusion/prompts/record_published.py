"""What the web UI and Compel make of prompts: writes published.json beside this file.

    python -m tests.mobile_diffusion.prompts.record_published CHECKOUT    # of AUTOMATIC1111's stable-diffusion-webui

It needs `compel` (2.5.1 was used) and `lark`, which the tests do not.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import CLIPTokenizer

from assets.golden.weighted import COMPEL, WEBUI
from tests.mobile_diffusion.prompts.published_encoder import encode

VOCABULARY = Path(__file__).parents[3] / "mobile_diffusion" / "clip_vocabulary"


def stub(name: str, **values: Any) -> types.ModuleType:
    """A module of the web UI that is not needed here."""
    module = types.ModuleType(f"modules.{name}")
    module.__dict__.update(values)
    sys.modules[module.__name__] = module
    return module


def webui(checkout: str) -> list[dict[str, Any]]:
    """Windows, weights and context of each prompt, by the web UI's own classes."""
    sys.path.insert(0, checkout)
    options = types.SimpleNamespace(emphasis="Original", comma_padding_backtrack=20)
    stub("shared", opts=options)
    stub("devices", device="cpu", torch_npu_set_device=lambda: None)
    stub("sd_hijack")
    import modules
    from modules.sd_hijack_clip import FrozenCLIPEmbedderWithCustomWordsBase as Base  # type: ignore[import-not-found]

    modules.shared, modules.devices = sys.modules["modules.shared"], sys.modules["modules.devices"]
    library = CLIPTokenizer.from_pretrained(VOCABULARY)

    class Embedder(Base):  # type: ignore[misc]
        """The web UI's, with our formula as its text encoder."""

        id_start, id_end, id_pad = library.bos_token_id, library.eos_token_id, library.eos_token_id
        comma_token = library.get_vocab()[",</w>"]

        def tokenize(self, texts: list[str]) -> list[list[int]]:
            return list(library(texts, truncation=False, add_special_tokens=False)["input_ids"])

        def encode_with_transformers(self, tokens: torch.Tensor) -> torch.Tensor:
            return torch.from_numpy(encode(tokens.numpy()))

    none = types.SimpleNamespace(find_embedding_at_position=lambda tokens, position: (None, None))
    embedder, found = Embedder(None, types.SimpleNamespace(embedding_db=none)), []
    for prompt in WEBUI:
        chunks, _ = embedder.tokenize_line(prompt)
        context = torch.hstack([embedder.process_tokens([each.tokens], [each.multipliers]) for each in chunks])
        windows = [{"ids": each.tokens, "weights": each.multipliers} for each in chunks]
        found.append({"prompt": prompt, "windows": windows, "context": rounded(context.numpy()[0])})
    return found


def compel() -> list[dict[str, Any]]:
    """Pieces and context of each prompt, by Compel."""
    from compel import Compel, DownweightMode  # type: ignore[import-not-found]
    from compel.embeddings_provider import SplitLongTextMode  # type: ignore[import-not-found]

    class Encoder:
        """Our formula in the place of transformers' CLIPTextModel."""

        device, dtype = torch.device("cpu"), torch.float64

        def __call__(self, tokens: torch.Tensor, mask: Any, **others: Any) -> Any:
            return types.SimpleNamespace(last_hidden_state=torch.from_numpy(encode(tokens.numpy())))

    library, found = CLIPTokenizer.from_pretrained(VOCABULARY), []
    for prompt in COMPEL:
        made = Compel(
            library,
            Encoder(),
            dtype_for_device_getter=lambda device: torch.float64,
            downweight_mode=DownweightMode.REMOVE,
            truncate_long_prompts=False,
            split_long_text_mode=SplitLongTextMode.BRUTAL,
        )
        (parsed,) = made.parse_prompt_string(prompt).prompts
        pieces = [[piece.text, piece.weight] for piece in parsed.children]
        found.append({"prompt": prompt, "pieces": pieces, "context": rounded(made(prompt).numpy()[0])})
    return found


def rounded(context: np.ndarray) -> list[list[float]]:
    """A context (L, D) with seven decimals."""
    return [[round(float(value), 7) for value in row] for row in context]


def main() -> None:
    """Write both."""
    values = {"webui": webui(sys.argv[1]), "compel": compel()}
    lines = ",\n".join(
        f'"{name}": [\n' + ",\n".join(json.dumps(case) for case in cases) + "\n]" for name, cases in values.items()
    )
    Path(__file__).with_name("published.json").write_text("{\n" + lines + "\n}\n", encoding="ascii")


if __name__ == "__main__":
    main()
