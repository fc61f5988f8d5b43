"""Downloads a model from the hub by its id "owner/name" into huggingface_hub's cache, once; reads the cache's folders.

Only the files that a diffusers checkpoint needs are downloaded, in one variant.  An interrupted download resumes.
Without a network the cached folder is used.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.formats.component import check_variant, choose_variant

LOGGER = logging.getLogger(__name__)

IDENTIFIER = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
INDEX_FILE = "model_index.json"
CACHED, SNAPSHOTS = "models--", "snapshots"
"""Beginning of the name of a model's folder in the cache, and the folder in it with a folder per commit."""
COMPONENTS = ("unet", "vae", "text_encoder", "text_encoder_2")
"""Folders of networks; only SDXL has the last one."""
SETTINGS = (
    INDEX_FILE,
    "README.md",
    "scheduler/scheduler_config.json",
    *(f"{folder}/{name}" for folder in ("tokenizer", "tokenizer_2") for name in ("*.json", "merges.txt")),
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


def cached_snapshot(path: Path) -> Path | None:
    """The snapshot in a model's folder of the cache, "models--owner--name"; None for any other folder.

    It is that of the branch main, or the only one.  Raises CheckpointError when there is neither.
    """
    if not path.name.startswith(CACHED) or not (path / SNAPSHOTS).is_dir():
        return None
    main = path / "refs" / "main"
    found = sorted(path.glob(f"{SNAPSHOTS}/*"))
    commit = main.read_text(encoding="utf-8", errors="replace").strip() if main.is_file() else None
    chosen = [folder for folder in found if commit in (None, folder.name)]
    if len(chosen) != 1:
        names = ", ".join(folder.name for folder in found[:2]) or "none"
        reason = f"expected the snapshot of main, or a single one, got {names}"
        raise CheckpointError(f"{path}: {reason}; give the path of a folder in {SNAPSHOTS}, or the model's id")
    return chosen[0]


def model_name(folder: Path) -> str:
    """The name of the model in a folder: in the cache that of the model, not of the commit; else the folder's name."""
    folder = folder.resolve()
    if folder.parent.name == SNAPSHOTS and folder.parents[1].name.startswith(CACHED):
        return folder.parents[1].name.rpartition("--")[2]
    return folder.name


def choose_files(identifier: str, names: list[str], variant: str | None) -> list[str]:
    """Choose the files to download: settings, and one variant of each component's weights.

    Raises CheckpointError when the model is not a diffusers checkpoint, or a component has no safetensors weights.
    """
    if INDEX_FILE not in names:
        reason = f"expected a diffusers checkpoint, got one without {INDEX_FILE}"
        raise CheckpointError(f"{identifier}: {reason}; fetch its .safetensors file and give the file's path")
    there = [folder for folder in COMPONENTS if folder != COMPONENTS[-1] or f"{folder}/config.json" in names]
    found: dict[str, dict[str, list[str]]] = {component: {} for component in there}
    for name in names:
        if (match := WEIGHTS.fullmatch(name)) and match["component"] in found:
            kind = match["index"] or match["before"] or match["after"] or ""
            found[match["component"]].setdefault(kind, []).append(name)
    chosen = [name for name in names if not name.endswith(".safetensors") and "safetensors.index" not in name]
    check_variant(identifier, found.values(), variant)
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
