"""Builds the wheel: the two packages, and the data of assets/ where mobile_diffusion/shipped.py looks for it.

Everything else is in pyproject.toml, which cannot add a folder to packages that it finds.
"""

from setuptools import find_namespace_packages, setup

DATA = {"mobile_diffusion.emoji_model": "assets/emoji", "mobile_diffusion.retrieval_model": "assets/quality"}

setup(
    packages=[*find_namespace_packages(include=["mobile_diffusion*", "export*"]), *DATA],
    package_dir=DATA,
)
