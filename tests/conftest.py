"""What many tests share: a whole model that is small enough to lower in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.config import ModelConfig
from tests.expected_skips import SkipCheck
from tests.tiny_models import TINY, emoji_words, untrained

LONG_FILES = (
    "apps/ios/test_kit.py",
    "apps/android/test_app.py",
    "apps/android/test_core.py",
    "apps/ios/test_app.py",
    "apps/runner/test_arm.py",
    "test_package.py",
    "test_public_api.py",
    "export/test_runtimes.py",
    "export/executorch/quantize/test_recipe.py",
    "export/executorch/test_vulkan.py",
    "export/cli/test_commands.py",
    "export/coreml/test_lower.py",
    "export/coreml/test_sources.py",
    "docs/test_site.py",
    "docs/test_commands.py",
    "mobile_diffusion/recipes/test_distil.py",
    "mobile_diffusion/test_equality.py",
)
"""Files that take minutes. They run first, so that no process works on one of them alone at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put LONG_FILES first; the order is otherwise kept."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


def pytest_configure(config: pytest.Config) -> None:
    """Compare the skips of the run with those that are expected; with xdist, in the process that hears of all tests."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipCheck())


@pytest.fixture(scope="session")
def tiny_config() -> ModelConfig:
    """Every kind of block once: 4x16x16 latents, 12 tokens of 48, 8 steps, a picture of 32 pixels."""
    return TINY


@pytest.fixture(scope="session")
def tiny_model(tiny_config: ModelConfig) -> Model:
    """A seeded model of `tiny_config` with the emoji model's tokenizer; norms and biases are random too.

    Do not change it: the whole session shares it.
    """
    return untrained(tiny_config, emoji_words(tiny_config.text.max_tokens))
