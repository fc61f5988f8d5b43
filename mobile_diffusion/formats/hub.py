"""Downloads a model from the hub by its id "owner/name" into huggingface_hub's cache, once.

Only the files that a diffusers checkpoint needs are downloaded, in one variant.  An interrupted download resumes.
Without a network the cached folder is used.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.component import choose_variant

LOGGER = logging.getLogger(__name__)

IDENTIFIER = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
INDEX_FILE = "model_index.json"
COMPONENTS = ("unet", "vae", "text_encoder")
SETTINGS = (
    INDEX_FILE,
    "README.md",
    "scheduler/scheduler_config.json",
    *(f"tokenizer/{name}" for name in ("*.json", "merges.txt")),
    *(f"{folder}/config.json" for folder in COMPONENTS),
)
WEIGHTS = re.compile(
    rf"(?P<component>{'|'.join(COMPONENTS)})/(?:diffusion_pytorch_model|model)"
    r"(?:\.safetensors\.index(?:\.(?P<index>[\w-]+))?\.json"
    r"|(?:\.(?P<before>[\w-]+?))?(?:-\d+-of-\d+)?(?:\.(?P<after>[\w-]+))?\.safetensors)"
)
"""Matches a component's weights, plain or a variant: a single file, a shard, or the index of shards."""


def is_identifier(path: Path | str) -> bool:
    """Whether `path` is a model id: it has the form owner/name, and no such path exists."""
    return IDENTIFIER.fullmatch(str(path)) is not None and not Path(path).exists()


def fetch(identifier: str, variant: str | None = None) -> Path:
    """Return the local folder of a model; download what is not in the cache.

    Raises CheckpointError when the model cannot be downloaded and is not cached, or has no safetensors weights.
    """
    from huggingface_hub import snapshot_download  # imported here because it takes about a second
    from huggingface_hub.errors import DryRunError

    weights = [f"{folder}/*.safetensors*" for folder in COMPONENTS]
    try:
        listed = snapshot_download(identifier, allow_patterns=[*SETTINGS, *weights], dry_run=True)
        names = [entry.filename for entry in listed]
        return Path(snapshot_download(identifier, allow_patterns=choose_files(identifier, names, variant)))
    except DryRunError as error:
        return _cached(identifier, error.__cause__ or error)
    except OSError as error:
        raise _unreachable(identifier, error) from error


def choose_files(identifier: str, names: list[str], variant: str | None) -> list[str]:
    """Choose the files to download: settings, and one variant of each component's weights.

    Raises CheckpointError when the model is not a diffusers checkpoint, or a component has no safetensors weights.
    """
    if INDEX_FILE not in names:
        reason = f"expected a diffusers checkpoint, got one without {INDEX_FILE}"
        raise CheckpointError(f"{identifier}: {reason}; fetch its .safetensors file and give the file's path")
    found: dict[str, dict[str, list[str]]] = {component: {} for component in COMPONENTS}
    for name in names:
        if match := WEIGHTS.fullmatch(name):
            kind = match["index"] or match["before"] or match["after"] or ""
            found[match["component"]].setdefault(kind, []).append(name)
    chosen = [name for name in names if not name.endswith(".safetensors") and "safetensors.index" not in name]
    for component, variants in found.items():
        if not variants:
            reason = "expected safetensors, got none (pickles are not opened); choose a model that has them"
            raise CheckpointError(f"{identifier}: {component}: {reason}")
        chosen += variants[choose_variant(f"{identifier}: {component}", variants, variant)]
    return chosen


def _cached(identifier: str, cause: BaseException) -> Path:
    """The cached folder, for use without a network; raises CheckpointError when nothing is cached."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(identifier, allow_patterns=[INDEX_FILE], local_files_only=True))
    except OSError as error:
        raise _unreachable(identifier, cause) from error
    LOGGER.warning("%s: the hub cannot be reached; using what is cached in %s", identifier, folder)
    return folder


def _unreachable(identifier: str, cause: BaseException) -> CheckpointError:
    reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
    return CheckpointError(
        f"{identifier}: expected a local path or a model on the hub, got no such path, nothing cached, and: {reason}; "
        "give a local folder or file, or go online"
    )
