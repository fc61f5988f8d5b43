"""The bundle: a folder with everything an app needs, written atomically and verified when opened.

`write_bundle` yields a folder to fill and writes the manifest last; `open_bundle` reads the manifest and compares
every file with its hash.  manifest.py says what a manifest holds, staging.py how a folder appears whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from export.bundle.manifest import Manifest, dump_manifest, read_manifest, read_paths
from export.bundle.manifest_parts import MANIFEST, FileEntry, RuntimeEntry
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.errors import BundleError, ConfigError, ExportError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.schedule import StepTable
from mobile_diffusion.staging import staged_folder
from mobile_diffusion.tokenization.tokenizer import PAIR, TOKENIZERS, Tokenizer, open_tokenizer, tokenizer_files

IGNORED = frozenset({".DS_Store"})
"""Files that a desktop adds to every folder it shows."""
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """An opened bundle."""

    path: Path
    manifest: Manifest

    def runtime(self, name: str | None = None) -> RuntimeEntry:
        """Return the named runtime, or the primary one for None; raises `ConfigError` with the choices."""
        runtimes = self.manifest.runtimes
        for runtime in runtimes:
            if runtime.name == name or (name is None and runtime.primary):
                return runtime
        choices = ", ".join(runtime.name for runtime in runtimes)
        raise ConfigError(f"--runtime: expected one that {self.path} contains, {choices}, got {quoted(name)}")

    def artifacts(self, runtime: RuntimeEntry) -> dict[str, str]:
        """Relative path of every stage's program."""
        return {artifact.stage: artifact.path for artifact in runtime.artifacts}

    def files_of(self, path: str) -> tuple[FileEntry, ...]:
        """The files of a program, sorted by path: itself, or those of its folder."""
        below = f"{path}/"
        found = (each for each in self.manifest.files if each.path == path or each.path.startswith(below))
        return tuple(sorted(found, key=lambda each: each.path))

    def settings(self) -> DrawSettings:
        """Return what drawing needs to know; raises `BundleError` when the stages lack it."""
        tensors = {(stage.name, spec.name): spec.shape for stage in self.manifest.stages for spec in stage.inputs}
        schedule = self.manifest.schedule
        images = [stage for stage in self.manifest.stages if stage.name == "decode_image" and stage.outputs]
        needed = {("denoise", "latents"), ("denoise", "context"), ("decode_image", "latents")}
        if not needed <= tensors.keys() or not images:
            raise BundleError(f"{self.path}: expected stages that take latents and return an image; export it again")
        whole = tensors["denoise", "latents"]
        tile, factor = self._tile(whole)
        return DrawSettings(
            latent_shape=whole,
            image_shape=(1, 3, *(factor * side for side in whole[2:])),
            guidance=schedule.guidance_default,
            guidance_kind=schedule.guidance_kind,
            uses_mask=("encode_text", "mask") in tensors,
            memory=schedule.memory,
            stochastic=schedule.stochastic,
            alphas=schedule.alphas,
            sigmas=schedule.sigmas,
            starts=schedule.starts,
            guidance_shares=schedule.guidance_shares,
            zero_null=schedule.zero_null,
            pooled=("denoise", "pooled") in tensors,
            controls=tensors.get(("denoise", "hint_scales"), (0,))[0],
            adapters=tensors.get(("denoise", "adapters"), ()),
            task=_task({name for stage, name in tensors if stage == "denoise"}),
            windows=self._windows(tensors["denoise", "context"][1]),
            text_widths=self.manifest.model.text_widths,
            tile=None if tile == whole else (tile[2], tile[3]),
        )

    def _tile(self, whole: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
        """Shape (1, C, h, w) of the latents that the autoencoder's stages handle at once, and pixels per latent.

        Raises `BundleError` unless they fit into latents of the shape `whole`, and all have one size.
        """
        stages = {stage.name: stage for stage in self.manifest.stages}
        decode, encode = stages["decode_image"], stages.get("encode_image")
        tile, image = ((*tensors[0].shape, 0, 0, 0, 0)[:4] for tensors in (decode.inputs, decode.outputs))
        factor = image[2] // max(tile[2], 1)
        fits = image == (1, 3, factor * tile[2], factor * tile[3]) and factor > 0 and tile[:2] == whole[:2]
        fits = fits and len(whole) == 4 and tile[2] <= whole[2] and tile[3] <= whole[3]
        if encode is not None:
            fits = fits and encode.inputs == decode.outputs and encode.outputs == decode.inputs
        if not fits:
            raise BundleError(
                f"{self.path}: expected stages that decode and encode latents {whole}, or tiles of them, "
                f"got latents {tile} for an image {image}; export it again"
            )
        return tile, factor

    def _windows(self, length: int) -> int:
        """The windows in a context of `length` tokens; raises `BundleError` unless they fill it."""
        window = self.manifest.tokenizer.max_tokens
        if length % window:
            raise BundleError(
                f"{self.path}: expected a context of whole windows of {window} tokens, got {length}; export it again"
            )
        return length // window

    def step_table(self) -> StepTable:
        """The solver's table, as the manifest repeats it."""
        found = self.manifest.schedule
        columns = (found.timesteps, found.inputs, found.update, found.noise_factors, found.alphas, found.sigmas)
        return StepTable(*columns, found.starts)

    def tokenizer(self) -> Tokenizer:
        """The tokenizer in the bundle; raises `BundleError` for a kind or files that are not known here."""
        entry = self.manifest.tokenizer
        if entry.kind not in TOKENIZERS:
            known = " or ".join(TOKENIZERS)
            raise BundleError(
                f"{self.path}: expected a {known} tokenizer, got {quoted(entry.kind)}; update mobile-diffusion"
            )
        if entry.kind == PAIR and entry.files != tokenizer_files(PAIR):
            wanted, found = " and ".join(tokenizer_files(PAIR)), " and ".join(entry.files)
            raise BundleError(f"{self.path}: expected the tokenizers {wanted}, got {quoted(found)}; export it again")
        return open_tokenizer(entry.kind, self.path / entry.files[0], entry.max_tokens)


@contextmanager
def write_bundle(
    out: Path, manifest: Callable[[Path, tuple[FileEntry, ...]], Manifest], force: bool = False
) -> Iterator[Path]:
    """Yield a folder to fill; when the block succeeds, hash its files, write the manifest, and move it to `out`.

    `manifest(folder, files)` is called at the end.  An existing `out` is refused; with `force` it is replaced if it is
    a bundle of ours.  Raises `ExportError`.  After any exception nothing is left, and an existing `out` is unchanged.
    """
    with staged_folder(out, replace=check_replaceable if force else None) as folder:
        yield folder
        text = dump_manifest(manifest(folder, list_files(folder)))
        _write_synced(folder / MANIFEST, text)


def open_bundle(path: Path | str, verify: bool = True) -> Bundle:
    """Open the bundle in a folder; with `verify`, check that every file has the size and hash of the manifest.

    Raises `BundleError` when the folder is not a bundle, has another schema version, or when a file is missing, added,
    changed or a link.

    >>> from export import open_bundle
    >>> bundle = open_bundle("build/android")
    >>> bundle.manifest.target, [runtime.name for runtime in bundle.manifest.runtimes]
    ('android', ['xnnpack'])
    """
    path = Path(path)
    manifest = read_manifest(path)
    if verify:
        check_files(path, manifest.files)
    return Bundle(path, manifest)


def list_files(folder: Path) -> tuple[FileEntry, ...]:
    """Size and SHA-256 of every file in `folder` except the manifest, sorted; flushes each file to the disk."""
    return tuple(_describe(folder, path, sync=True) for path in sorted(walk(folder)))


def check_files(folder: Path, files: Sequence[FileEntry]) -> None:
    """Raise `BundleError` naming the first file that is missing, not listed, or changed."""
    present, listed = set(walk(folder)), {entry.path for entry in files}
    for problem, paths in (("missing", listed - present), ("not in the manifest", present - listed)):
        if paths:
            raise BundleError(_damage(folder, sorted(paths)[0], "exactly the files of the manifest", problem))
    for entry in files:
        _check_file(folder, entry)


def _task(inputs: Collection[str]) -> str:
    """What a network does, by the inputs of its `denoise`."""
    return "inpaint" if "masked_latents" in inputs else "edit" if "image_latents" in inputs else "draw"


def _check_file(folder: Path, entry: FileEntry) -> None:
    size = (folder / entry.path).stat().st_size
    if size != entry.size:
        raise BundleError(_damage(folder, entry.path, f"{entry.size} bytes", f"{size}"))
    digest = _describe(folder, entry.path).sha256
    if digest != entry.sha256:
        raise BundleError(_damage(folder, entry.path, f"SHA-256 {entry.sha256[:12]}...", f"{digest[:12]}..."))


def _damage(folder: Path, path: str, expected: str, got: str) -> str:
    return f"{folder}: {path}: expected {expected}, got {got}; the bundle is damaged: export it again"


def walk(folder: Path) -> Iterator[str]:
    """Yield the relative POSIX path of every file in `folder` except the manifest; raises `BundleError` for a link."""
    for root, folders, names in os.walk(folder, onerror=_raise_unreadable):
        for name in (*folders, *names):
            path = Path(root, name)
            relative = path.relative_to(folder).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise BundleError(_damage(folder, relative, "a plain file", "a link or device"))
        for name in names:
            relative = Path(root, name).relative_to(folder).as_posix()
            if relative != MANIFEST and name not in IGNORED:
                yield relative


def _raise_unreadable(error: OSError) -> None:
    raise BundleError(f"{error.filename}: expected a folder that can be read, got {error.strerror}") from error


def check_replaceable(out: Path) -> None:
    """Raise `ExportError` unless `out` is a bundle of ours, of any version, with no other file that could be lost."""
    try:
        strange = set(walk(out)) - read_paths(out)
    except BundleError as error:
        raise ExportError(f"--force replaces only a bundle of ours: {error}; choose another --out") from error
    if strange:
        raise ExportError(
            f"{out}: --force replaces only a bundle of ours, got one with {sorted(strange)[0]} added; "
            "move that file away or choose another --out"
        )


def _describe(folder: Path, path: str, sync: bool = False) -> FileEntry:
    """Hash one file."""
    digest, size = hashlib.sha256(), 0
    try:
        with (folder / path).open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
            if sync:
                os.fsync(stream.fileno())
    except OSError as error:
        if sync:
            raise
        raise BundleError(_damage(folder, path, "a file that can be read", str(error.strerror))) from error
    return FileEntry(path, size, digest.hexdigest())


def _write_synced(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
