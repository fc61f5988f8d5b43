"""Builds the wheel: the two packages, and the data of assets/ where mobile_diffusion/shipped.py looks for it.

The page of `mobile-diffusion serve` is in it if `make -C apps/web site` has built it (export/serving/site.py).

Everything else is in pyproject.toml, which cannot add a folder to packages that it finds.
"""

from pathlib import Path

from setuptools import find_namespace_packages, setup

SITE = "apps/web/build/site"
DATA = {"mobile_diffusion.emoji_model": "assets/emoji", "mobile_diffusion.retrieval_model": "assets/quality"}
if Path(SITE, "index.html").is_file():
    folders = [Path(SITE), *(path for path in sorted(Path(SITE).rglob("*")) if path.is_dir())]
    names = [".".join(("export.serving.site", *folder.relative_to(SITE).parts)) for folder in folders]
    DATA |= dict(zip(names, map(Path.as_posix, folders), strict=True))

setup(
    packages=[*find_namespace_packages(include=["mobile_diffusion*", "export*"]), *DATA],
    package_dir=DATA,
)
