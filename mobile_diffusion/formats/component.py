"""Finds the weights in one component folder of a diffusers checkpoint, such as unet/.

Weights are one safetensors file, or several shards with an index.  Either may be plain or a variant such as "fp16".
Only headers are read.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.quoting import quoted, shortened
from mobile_diffusion.strict_json import read_object
from mobile_diffusion.tensor_layout import Layout, read_layout
from mobile_diffusion.weights import PICKLES

logger = logging.getLogger(__name__)

DIFFUSERS_STEM = "diffusion_pytorch_model"
TRANSFORMERS_STEM = "model"
PREFERRED = "fp16"
"""The variant that is chosen when a folder has several, none of them plain, and the user names none."""
CONVERT = (
    'if you trust it, convert it once: python -c "from diffusers import StableDiffusionPipeline as P; '
    "P.from_pretrained('{0}', use_safetensors=False).save_pretrained('{0}-safetensors')\""
)


def read_component(folder: Path, stem: str, variant: str | None) -> tuple[Layout, tuple[Path, ...]]:
    """Return the layout of a component under the file's own tensor names, and the files (with the index) it is in.

    The plain weights replace a `variant` that the component does not have.  Raises CheckpointError when there are
    only pickles, when both or a shard are missing, or when a header is damaged or contradicts the index.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: expected a component of the checkpoint, got no such folder; restore it")
    found = dict(_weights(folder, stem))
    chosen = _choose(folder, stem, found, variant)
    if chosen.suffix == ".json":
        return _read_shards(chosen)
    return read_layout(chosen), (chosen,)


def list_variants(folder: Path, stem: str) -> list[str]:
    """The variants of the weights in a component folder, where "" is the plain one; none if there is no such folder."""
    return [variant for variant, _ in _weights(folder, stem)]


def check_variant(where: Path | str, found: Iterable[Collection[str]], variant: str | None) -> None:
    """Raise CheckpointError when no component has the variant; `found` is what each one has, `where` begins it."""
    known = dict.fromkeys(name for names in found for name in names)
    if variant is not None and known and variant not in known:
        raise _unknown(where, known, variant)


def _weights(folder: Path, stem: str) -> Iterator[tuple[str, Path]]:
    """Each variant in a folder ("" for the plain one), with its safetensors file or its index of shards."""
    index = f"{stem}.safetensors.index"
    files = sorted(file for file in folder.glob(f"{stem}.*") if "-of-" not in file.name)
    for file in files:
        if file.name.startswith(index) and file.suffix == ".json":
            yield file.name.removeprefix(index).removesuffix("json").strip("."), file
    for file in files:  # yielded last, so that a single file wins over an index of the same variant
        if file.suffix == ".safetensors":
            yield file.name.removeprefix(stem).removesuffix("safetensors").strip("."), file


def _choose(folder: Path, stem: str, found: dict[str, Path], variant: str | None) -> Path:
    """The file of a variant; raises CheckpointError when there are no weights, or only pickles."""
    if found:
        return found[choose_variant(folder, found, variant)]
    pickles = sorted(file for file in folder.iterdir() if file.suffix.lower() in PICKLES)
    if pickles:
        reason = f"expected safetensors, got a pickle, which can run code; {CONVERT.format(folder.parent)}"
        raise CheckpointError(f"{pickles[0]}: {reason}")
    raise CheckpointError(f"{folder / stem}.safetensors: expected weights, got no such file; restore it")


def choose_variant(where: Path | str, found: Collection[str], variant: str | None) -> str:
    """Choose one of the variants `found`, where "" is the plain one.

    With a `variant` the choice is that one, then the plain one, as in diffusers.  Without, it is the plain one, then
    the only one, then fp16.  Raises CheckpointError when the choice is not among `found`; `where` begins the message.
    """
    default = next(iter(found)) if len(found) == 1 else PREFERRED
    if variant in found:
        return str(variant)
    if "" in found:
        if variant is not None:
            logger.warning("%s: no variant %r of the weights; the plain ones are used", where, variant)
        return ""
    if variant is None and default in found:
        return default
    raise _unknown(where, found, variant)


def _unknown(where: Path | str, found: Iterable[str], variant: str | None) -> CheckpointError:
    known = ", ".join(repr(name) if name else "the plain one" for name in found)
    wish = "one variant" if variant is None else f"variant {quoted(variant)}"
    return CheckpointError(f"{where}: expected {wish} of the weights, got {known}; name another variant")


def _read_shards(index: Path) -> tuple[Layout, tuple[Path, ...]]:
    """The layout of all shards in an index; raises CheckpointError when a tensor is not in the shard it names."""
    where = read_object(index).get("weight_map")
    if not isinstance(where, dict) or not where:
        raise CheckpointError(
            f"{index}: expected a weight_map of tensors to files, got {quoted(where)}; fetch it again"
        )
    layout: Layout = {}
    names = sorted({str(name) for name in where.values()})
    for name in names:
        layout |= read_layout(_shard(index, name))
    for tensor, name in where.items():
        if tensor not in layout or layout[tensor].file.name != name:
            reason = f"expected tensor {quoted(tensor)} in {shortened(name)}, got none; fetch index and shards again"
            raise CheckpointError(f"{index}: {reason}")
    return layout, (index, *(index.parent / name for name in names))


def _shard(index: Path, name: str) -> Path:
    """The path of a shard; raises CheckpointError when it is missing or not in the folder of the index."""
    file = index.parent / name
    if Path(name).name != name or file.suffix != ".safetensors":
        raise CheckpointError(
            f"{index}: expected safetensors files in its own folder, got {quoted(name)}; fetch it again"
        )
    if not file.is_file():
        raise CheckpointError(f"{file}: expected a shard that {index.name} names, got no such file; fetch it")
    return file
