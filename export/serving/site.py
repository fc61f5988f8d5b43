"""Where the page is: in an installed package its data, in a checkout what `make -C apps/web site` built."""

from __future__ import annotations

from pathlib import Path

from mobile_diffusion.errors import ConfigError

PACKAGE = Path(__file__).parent / "site"
CHECKOUT = Path(__file__).parents[2] / "apps" / "web" / "build" / "site"
INDEX = "index.html"


def site_folder() -> Path:
    """Return the folder of the page; raises `ConfigError` with what builds it where there is none."""
    for folder in (PACKAGE, CHECKOUT):
        if (folder / INDEX).is_file():
            return folder
    raise ConfigError(
        f"serve: expected the page in {CHECKOUT}, got none; "
        "build it with apps/web/install-tools.sh && make -C apps/web site"
    )


def site_files() -> dict[str, Path]:
    """Return the files of the page by the path of their address; "" is the page itself."""
    folder = site_folder()
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {"": folder / INDEX, **files}
