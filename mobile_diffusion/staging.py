"""A folder that appears whole or not at all.

Work goes into a hidden sibling of the output; when it succeeds the sibling takes the output's name in one
rename (or, with `force`, swaps places with the bundle that was there).  When anything fails, is interrupted
or runs out of space, the sibling is removed and whatever stood at the output is untouched.  What a bundle
contains is not known here.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS
_AT_FDCWD = -100


@contextmanager
def staged_folder(out: Path, replace: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """Give an empty folder beside `out` that becomes `out` when the block ends without an exception.

    `replace`, when given, is asked whether an existing `out` may be replaced and raises when it may not;
    without it an existing `out` is refused.  Raises `ExportError` when `out` exists, cannot be written, or
    space runs out.
    """
    out = out.resolve()
    check_free(out, replace)
    _remove_leftovers(out)
    created = [parent for parent in out.parents if not parent.exists()]
    folder = _create_sibling(out)
    lock = os.open(folder, os.O_RDONLY)
    _filling.add(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # says to a later export that this folder is not a leftover
        yield folder
        _publish(folder, out, replace)
    except Exception as error:
        if is_full(error, folder):
            raise ExportError(
                f"{out}: expected room for it, got a full disk ({_free(folder)} bytes free); make room"
            ) from error
        raise
    finally:
        _removing.add(folder)
        _filling.discard(folder)
        shutil.rmtree(folder, ignore_errors=True)  # after a swap it holds the replaced output
        _removing.discard(folder)
        os.close(lock)
        _remove_empty(created)


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


def check_free(out: Path, replace: Callable[[Path], None] | None) -> None:
    """Raise `ExportError` unless there is nothing at `out`, or `replace` lets it be replaced."""
    if not os.path.lexists(out):
        return
    if replace is None:
        raise ExportError(f"{out}: expected a new folder, got one that exists; choose another, or give --force")
    replace(out)


def _prefix(out: Path) -> str:
    return f".{out.name}.partial-"


def _create_sibling(out: Path) -> Path:
    """An empty folder on the file system of `out`, so that the last rename is atomic."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=_prefix(out), dir=out.parent))
        folder.chmod(0o755)
        return folder
    except OSError as error:
        raise ExportError(
            f"{out.parent}: expected a folder that can be written, got {error.strerror}; choose another --out"
        ) from error


def _remove_empty(folders: list[Path]) -> None:
    """Remove, innermost first, the folders that we made and that nothing came into."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _remove_leftovers(out: Path) -> None:
    """Remove folders of exports that were killed: nobody holds their lock any more."""
    for folder in out.parent.glob(f"{_prefix(out)}*"):
        try:
            lock = os.open(folder, os.O_RDONLY)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            logger.info("removed %s, left by an export that was killed", folder)
        except OSError:
            logger.debug("%s belongs to an export that is running", folder)
        finally:
            os.close(lock)


def _publish(folder: Path, out: Path, replace: Callable[[Path], None] | None) -> None:
    """Give `folder` the name `out`; an output that is replaced ends under the name of `folder`."""
    check_free(out, replace)  # it may have appeared, or changed, while we worked
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
    """Move the old output aside, the new one in; put the old one back when that fails."""
    aside = out.with_name(f".{out.name}.replaced-{os.getpid()}")
    out.rename(aside)
    try:
        folder.rename(out)
    except BaseException:
        aside.rename(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Make a rename last through a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
