"""Free memory and free disk of this computer, without importing torch.

Available memory is what can be used without swapping, within the limits of control groups.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil


def available_memory() -> int:
    """Bytes that can be used without swapping: the system's, or what the tightest control group has left."""
    return min([psutil.virtual_memory().available, *headrooms(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))])


def free_disk(out: Path) -> int:
    """Free bytes on the file system of `out`."""
    resolved = out.resolve()
    return shutil.disk_usage(next(each for each in (resolved, *resolved.parents) if each.exists())).free


def headrooms(membership: Path, root: Path) -> Iterator[int]:
    """Bytes left below the memory limit of this process's control group, and of each of its parents.

    `membership` is /proc/self/cgroup, `root` the mount point of the groups (version 1 or 2).  No limit, no value.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            mount, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        elif not controllers:
            mount, names = root, ("memory.max", "memory.current", "")
        else:
            continue
        group = mount / path.lstrip("/")
        for folder in (group, *group.parents[: len(group.parents) - len(mount.parents)]):
            yield from _headroom(folder, *names)


def _headroom(group: Path, limit: str, usage: str, prefix: str) -> Iterator[int]:
    """The group's limit minus its use; cached pages of files do not count as used, because they can be dropped."""
    try:
        maximum, used = (group / limit).read_text().strip(), int((group / usage).read_text())
        entries = dict(line.split(" ", 1) for line in (group / "memory.stat").read_text().splitlines())
    except OSError:  # a group that a container does not show, or without a limit on memory
        return
    if maximum != "max":
        files = sum(int(entries.get(f"{prefix}{kind}_file", 0)) for kind in ("active", "inactive"))
        yield max(0, int(maximum) - used + files)
