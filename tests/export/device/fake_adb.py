"""Stands in for adb and for a phone: a folder is the phone, its shell is this computer's `sh`.

FAKE_PHONE names the folder; `faults.json` in it says what goes wrong. The texts it prints are in transcripts.py. A
script for the phone really runs, with our own `run-as`, `pm`, `am` and `pidof`, which tests quoting and commands; a
phone's own shell may still differ.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.export.device import transcripts

PHONE = Path(os.environ["FAKE_PHONE"])
FAULTS: dict[str, Any] = json.loads((PHONE / "faults.json").read_text())
SERIAL = "R5CT30ABCDE"
TEMPORARY = "/data/local/tmp"
APP = shlex.join((sys.executable, str(Path(__file__).with_name("fake_app.py"))))
PROGRAMS = {
    "run-as": '[ "$1" = org.mobilediffusion.sample ] && shift && cd "$FAKE_PHONE/app" && exec "$@"',
    "pm": "echo package:org.mobilediffusion.sample",
    "am": f'exec {APP} "$@"',
    "pidof": '[ -e "$FAKE_PHONE/alive" ] && cat "$FAKE_PHONE/alive"',
}


def leave(text: str, status: int) -> NoReturn:
    """Print what adb prints on standard error, and end."""
    sys.stderr.write(text)
    sys.exit(status)


def shell(script: str) -> NoReturn:
    """Run a script on the phone."""
    for part, text, status in FAULTS.get("shell", ()):
        if part in script:
            leave(text, status)
    programs = PHONE / "bin"
    programs.mkdir(exist_ok=True)
    for name, body in (PROGRAMS | FAULTS.get("programs", {})).items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    path = {"PATH": f"{programs}:{os.environ['PATH']}"}
    # The scripts name this folder outside of quotes, or in a word that a second shell reads: these quotes hold in both.
    local = script.replace(TEMPORARY, '"$FAKE_PHONE"/tmp')
    sys.exit(subprocess.run(["sh", "-c", local], env=os.environ | path, cwd=PHONE).returncode)


def push(source: Path, destination: str) -> NoReturn:
    """Copy a file into a folder that is there, and note how much lies on the phone."""
    place = PHONE / "tmp" / Path(destination).relative_to(TEMPORARY)
    shutil.copyfile(source, place)
    if source.name == FAULTS.get("damaged"):
        place.write_bytes(b"damaged on the way")
    held = sum(
        path.stat().st_size for folder in ("app", "tmp") for path in (PHONE / folder).rglob("*") if path.is_file()
    )
    with (PHONE / "held.txt").open("a") as sizes:
        sizes.write(f"{held}\n")
    print(f"{source}: 1 file pushed. 30.1 MB/s (208000000 bytes in 6.590s)")
    sys.exit(0)


def main(words: list[str]) -> NoReturn:
    """What adb does with these words."""
    with (PHONE / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps(words) + "\n")
    if words == ["devices"]:
        print(FAULTS.get("devices", transcripts.ONE), end="")
        sys.exit(0)
    assert words[0] == "-s", words
    if words[1] != SERIAL:
        leave(transcripts.MISSING_WITHOUT_A_PHONE, 1)
    if words[2] == "shell" and len(words) == 4:
        shell(words[3])
    assert words[2] == "push" and len(words) == 5, words
    push(Path(words[3]), words[4])


if __name__ == "__main__":
    main(sys.argv[1:])
