"""Compares the installed packages with the versions that this version of mobile-diffusion works with.

The versions are those of pyproject.toml, as the installed package repeats them.  A package of an extra is needed only
by the commands of that extra.  Requirements of the found packages on each other are compared too, because pip can leave
two packages that do not fit.
"""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from export.doctor.finding import OK, OPTIONAL, WRONG, Finding

PROJECT = "mobile-diffusion"
EXTRAS = {
    "": "everything",
    "export": "every export",
    "coreai": "Core AI programs, iOS 27",
    "train": "the data set and training",
    "quality": "mobile-diffusion evaluate",
}
"""Extra -> what needs it; the extras of developers are left out."""
REQUIRED = ("", "export")

Versions = Callable[[str], str | None]
"""Name of a package -> its installed version, or None."""


def installed(name: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def examine_python() -> Finding:
    """Whether this Python is one that the project supports."""
    wanted, found = metadata.metadata(PROJECT)["Requires-Python"], platform.python_version()
    if SpecifierSet(wanted).contains(found, prereleases=True):
        return Finding("Python", OK, found)
    return Finding("Python", WRONG, f"{found}, needs {wanted}", "install Python 3.11 or 3.12, and make a new venv")


def examine_packages(version: Versions = installed) -> Iterator[Finding]:
    """One finding per extra: all of its packages, or those that are missing or do not fit."""
    groups = by_extra([Requirement(line) for line in metadata.requires(PROJECT) or ()])
    for extra, purpose in EXTRAS.items():
        yield _examine(extra, purpose, groups[extra], version)


def by_extra(requirements: list[Requirement]) -> Mapping[str, list[Requirement]]:
    """The requirements that apply on this system, by the extra that asks for them; "" for none."""
    groups: dict[str, list[Requirement]] = defaultdict(list)
    for requirement in requirements:
        for extra in EXTRAS:
            applies = requirement.marker is None or requirement.marker.evaluate({"extra": extra})
            if applies and (extra == "" or "extra" in str(requirement.marker)):
                groups[extra].append(requirement)
    return groups


def misfit(requirement: Requirement, version: Versions) -> str:
    """What is wrong with the package that a requirement asks for; "" if nothing is."""
    found = version(requirement.name)
    if found is None:
        return f"{requirement.name} missing"
    if not requirement.specifier.contains(found, prereleases=True):
        return f"{requirement.name} {found}, needs {requirement.specifier}"
    return ""


def examine_conflicts(version: Versions = installed) -> Finding:
    """Whether the packages that this project names are content with the versions of the others."""
    named = {Requirement(line).name for line in metadata.requires(PROJECT) or ()}
    wrong = [problem for name in sorted(named) if version(name) for problem in _conflicts_of(name, version)]
    if not wrong:
        return Finding("packages among each other", OK, "fit together")
    fix = "install the versions of requirements.lock into a new venv"
    return Finding("packages among each other", OPTIONAL, "; ".join(wrong), fix)


def _examine(extra: str, purpose: str, wanted: list[Requirement], version: Versions) -> Finding:
    name = f"packages for {purpose}"
    if not wanted:
        old = f"the installed {PROJECT} is older than this code: its extra {extra} is unknown"
        return Finding(name, OPTIONAL, old, f"install {PROJECT} again")
    problems = [problem for requirement in wanted if (problem := misfit(requirement, version))]
    if not problems:
        return Finding(name, OK, f"{len(wanted)} installed")
    package = f"{PROJECT}[{extra}]" if extra else PROJECT
    state = WRONG if extra in REQUIRED else OPTIONAL
    return Finding(name, state, "; ".join(problems), f"pip install '{package}'")


def _conflicts_of(name: str, version: Versions) -> Iterator[str]:
    """Requirements of an installed package that an installed package does not meet; absent ones are pip's affair."""
    for requirement in map(Requirement, metadata.requires(name) or ()):
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if applies and version(requirement.name) is not None and (problem := misfit(requirement, version)):
            yield f"{name} wants {requirement.name}{requirement.specifier}, got {problem.split(',')[0].split()[-1]}"
