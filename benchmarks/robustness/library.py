"""disturb.c, compiled and loaded into this process and all that it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("disturb.c")


def load_library(work: Path) -> None:
    """Start this script again with disturb.c in it, unless it is there; `work` takes the library."""
    library = work / "disturb.so"
    if os.environ.get("LD_PRELOAD") != str(library):
        build_library(library)
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"LD_PRELOAD": str(library)})


def build_library(library: Path) -> None:
    """Compile disturb.c; needs gcc."""
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
