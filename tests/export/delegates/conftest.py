"""Programs with delegates, of the tiny model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from export.stages import ExportStage
from tests.export.conftest import lower_all
from tests.sharing import shared


@pytest.fixture(scope="session")
def delegates_folder(tiny_stages: Mapping[str, ExportStage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the three .pte files for iPhones."""
    from export.delegates.lower import lower

    return shared(tmp_path_factory, "delegates", lambda folder: lower_all(lower, tiny_stages, folder))[0]


@pytest.fixture(scope="session")
def coreai_delegates_folder(tiny_stages: Mapping[str, ExportStage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with Core AI as the delegate."""
    from export.delegates.lower import lower
    from export.delegates.options import DelegateOptions

    def lower_coreai(stage: ExportStage, folder: Path) -> str:
        return lower(stage, folder, DelegateOptions("coreai"))

    return shared(tmp_path_factory, "coreai_delegates", lambda folder: lower_all(lower_coreai, tiny_stages, folder))[0]
