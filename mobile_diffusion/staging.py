"""Files and folders that appear whole or not at all.

Work goes into a hidden sibling of the output. When it succeeds, the sibling takes the output's name in one rename, or
swaps names with the output that is replaced. When it fails, is interrupted or runs out of space, the sibling is removed
and the old output is untouched. A process that is killed leaves at most a sibling, which the next one removes: a lock
on every sibling tells whether somebody still writes it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import logging
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mobile_diffusion.errors import ExportError, MobileDiffusionError

logger = logging.getLogger(__name__)

_filling: set[Path] = set()
"""Folders that this process is filling now."""
_removing: set[Path] = set()
"""Folders that it is removing, whole ones or failed ones."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_TEXT = ("No space left on device", "Disk quota exceeded", "File too large")
_NEARLY_FULL = 1 << 20
_PARTIAL = ".partial-"
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS
_AT_FDCWD = -100


@contextmanager
def staged_folder(
    out: Path,
    replace: Callable[[Path], None] | None = None,
    error: type[MobileDiffusionError] = ExportError,
) -> Iterator[Path]:
    """Yield an empty folder beside `out` that becomes `out` when the block ends without an exception.

    `replace` is called with an existing `out` and raises when that may not be replaced; without it an existing `out` is
    refused. Raises `error` when `out` exists, cannot be written, or space runs out.
    """
    out = out.resolve()
    _recover(out)
    check_free(out, replace, error)
    created = [parent for parent in out.parents if not parent.exists()]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder, lock = _create_sibling(out, Path.mkdir)
    except OSError as problem:
        raise error(
            f"{out.parent}: expected a folder that can be written, got {problem.strerror}; choose another output"
        ) from problem
    _filling.add(folder)
    try:
        yield folder
        _publish(folder, out, replace, error)
    except Exception as problem:
        if is_full(problem, folder):
            raise error(
                f"{out}: expected room for it, got a full disk ({_free(folder)} bytes free); make room"
            ) from problem
        raise
    finally:
        _removing.add(folder)
        _filling.discard(folder)
        shutil.rmtree(folder, ignore_errors=True)  # after a swap it holds the replaced output
        _removing.discard(folder)
        os.close(lock)
        _remove_empty(created)


@contextmanager
def staged_file(path: Path) -> Iterator[Path]:
    """Yield an empty file beside `path` that takes its place when the block ends without an exception.

    Raises OSError as writing does; nothing is left of the file then.
    """
    _recover(path)
    scratch, lock = _create_sibling(path, lambda new: new.touch(exist_ok=False))
    try:
        yield scratch
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
        os.close(lock)


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path` for what is needed to make it; the folder is removed when the block ends.

    Raises OSError when it cannot be made.
    """
    folder, lock = _create_sibling(path, Path.mkdir)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left in `folder` of any file or folder that they were writing there."""
    for leftover in _unlocked(sorted(folder.glob(f".*{_PARTIAL}*"))):
        _remove(leftover)
        logger.info("removed %s, left by a process that was killed", leftover)


def write_bytes(content: bytes, path: Path) -> None:
    """Replace `path` by `content`; afterwards it holds all of it, or what it held before."""
    with staged_file(path) as scratch:
        scratch.write_bytes(content)


def is_filling() -> bool:
    """Whether a folder is being filled: an interruption has to unwind the stack to it."""
    return bool(_filling - _removing)


def is_removing() -> bool:
    """Whether a folder is being removed: an interruption has to wait."""
    return bool(_removing)


def is_full(error: BaseException, folder: Path) -> bool:
    """Whether an exception of any library, or what it was raised from, means that the disk is full."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _FULL:
            return True
        if any(text in str(seen) for text in _FULL_TEXT):
            return True
        seen = seen.__cause__ or seen.__context__
    hidden = not isinstance(error, MobileDiffusionError)  # a library may keep the reason to itself
    return hidden and _free(folder) < _NEARLY_FULL


def _free(folder: Path) -> int:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return sys.maxsize


def check_free(
    out: Path, replace: Callable[[Path], None] | None, error: type[MobileDiffusionError] = ExportError
) -> None:
    """Raise `error` unless there is nothing at `out`, or `replace` lets it be replaced."""
    if not os.path.lexists(out):
        return
    if replace is None:
        raise error(f"{out}: expected a new folder, got one that exists; choose another, or give --force")
    replace(out)


def _prefix(out: Path) -> str:
    return f".{out.name}{_PARTIAL}"


def _create_sibling(out: Path, create: Callable[[Path], None]) -> tuple[Path, int]:
    """A new hidden file or folder beside `out` and the descriptor that holds its lock; permissions follow the umask.

    It is on the file system of `out`, so that the last rename is atomic, and has its suffix, which writers go by.
    """
    while True:
        sibling = out.with_name(f"{_prefix(out)}{uuid.uuid4().hex[:8]}{out.suffix}")
        create(sibling)
        with suppress(FileNotFoundError):  # another process may have taken it for a leftover until it was locked
            lock = os.open(sibling, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if sibling.exists():
                return sibling, lock
            os.close(lock)


def _remove_empty(folders: list[Path]) -> None:
    """Remove, innermost first, the folders that we made and that nothing came into."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _recover(out: Path) -> None:
    """Undo what killed processes left beside `out`: bring back a replaced output, remove unfinished ones."""
    for aside in _leftovers(out, f".{out.name}.replaced"):
        if not os.path.lexists(out):
            aside.rename(out)
            logger.info("brought back %s, which a killed process had moved aside", out)
        else:
            _remove(aside)
    for leftover in _leftovers(out, _prefix(out)):
        _remove(leftover)
        logger.info("removed %s, left by a process that was killed", leftover)


def _leftovers(out: Path, prefix: str) -> Iterator[Path]:
    """Siblings of `out` whose name begins so and that no process has locked, as `_unlocked` yields them."""
    names = os.listdir(out.parent) if out.parent.is_dir() else []
    return _unlocked(out.with_name(name) for name in sorted(names) if name.startswith(prefix))


def _unlocked(paths: Iterable[Path]) -> Iterator[Path]:
    """Those of the paths that no process has locked; each is locked while it is yielded."""
    for path in paths:
        try:
            lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            logger.debug("%s belongs to a process that is running", path)
        else:
            yield path
        finally:
            os.close(lock)


def _remove(path: Path) -> None:
    """Remove a file or a folder, as far as that is possible."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _publish(
    folder: Path, out: Path, replace: Callable[[Path], None] | None, error: type[MobileDiffusionError]
) -> None:
    """Give `folder` the name `out`; an output that is replaced ends under the name of `folder`."""
    check_free(out, replace, error)  # it may have appeared, or changed, while we worked
    if not out.exists():
        folder.rename(out)
    elif not _exchange(folder, out):
        _replace_in_two_steps(folder, out)
    _sync(out.parent)


def _exchange(first: Path, second: Path) -> bool:
    """Let two folders swap their names in one step; False where the system cannot."""
    library = ctypes.CDLL(None, use_errno=True)
    names = (os.fsencode(first), os.fsencode(second))
    if sys.platform == "darwin":
        return bool(library.renamex_np(*names, _EXCHANGE) == 0)
    if not hasattr(library, "renameat2"):
        return False
    return bool(library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE) == 0)


def _replace_in_two_steps(folder: Path, out: Path) -> None:
    """Move the old output aside and the new one in; a kill between the two is undone by the next run (`_recover`)."""
    aside = out.with_name(f".{out.name}.replaced-{uuid.uuid4().hex[:8]}")
    lock = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        out.rename(aside)
        try:
            folder.rename(out)
        except BaseException:
            aside.rename(out)
            raise
        shutil.rmtree(aside, ignore_errors=True)
    finally:
        os.close(lock)


def _sync(folder: Path) -> None:
    """Make a rename last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
