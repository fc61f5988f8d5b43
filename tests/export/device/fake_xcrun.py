"""Stands in for `xcrun devicectl` and for an iPhone with the sample app: a folder is the app's container.

What it writes as JSON has the fields that Xcode documents; nothing here was recorded from a phone.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, NoReturn

PHONE = Path(os.environ["FAKE_PHONE"])
FAULTS: dict[str, Any] = json.loads((PHONE / "faults.json").read_text())
DEVICE = "11111111-2222-3333-4444-555555555555"
APP = "org.mobilediffusion.Sample"
IDENTITY = {"identifier": DEVICE, "deviceProperties": {"name": "Test phone"}}


def options_of(words: list[str]) -> dict[str, str]:
    """Pairs of an option and its value."""
    return dict(zip(words[::2], words[1::2], strict=True))


def copy(verb: str, options: dict[str, str]) -> None:
    """Between this computer and the container."""
    assert options["--domain-type"] == "appDataContainer" and options["--domain-identifier"] == APP, options
    container = PHONE / "app"
    if verb == "from":
        shutil.copyfile(container / options["--source"], options["--destination"])
        return
    assert options["--remove-existing-content"] == "true"
    source, place = Path(options["--source"]), container / options["--destination"]
    shutil.rmtree(place, ignore_errors=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, place)


def launch(words: list[str]) -> None:
    """Start the app, which measures at once."""
    assert words[:2] == ["--terminate-existing", APP], words
    given = options_of(words[2:])
    task = "golden" if "--golden" in given else "benchmark"
    kind, text = FAULTS.get("result", ["json", (PHONE / f"{task}.json").read_text()])
    if kind == "none":
        return
    (PHONE / "alive").touch()
    (PHONE / "asked.json").write_text(
        json.dumps({name: given[f"--{name}"] for name in ("runs", "threads") if f"--{name}" in given})
    )
    (PHONE / "app" / "Documents" / task / f"{given[f'--{task}']}.{kind}").write_text(text)


def main(words: list[str]) -> NoReturn:
    """What xcrun does with these words."""
    assert words[0] == "devicectl", words
    if words[1:3] == ["list", "devices"]:
        found = {"result": {"devices": FAULTS.get("devices", [IDENTITY])}}
        Path(options_of(words[3:])["--json-output"]).write_text(json.dumps(found))
        sys.exit(0)
    assert words[1] == "device" and words[4:6] == ["--device", DEVICE], words
    what, rest = words[2:4], words[6:]
    if what[0] == "copy":
        copy(what[1], options_of(rest))
    elif what == ["process", "launch"]:
        launch(rest)
    else:
        assert what == ["info", "processes"], words
        running = [{"executable": "file:///private/var/containers/Bundle/Application/1/Sample.app/Sample"}]
        listed = running if (PHONE / "alive").exists() else []
        Path(options_of(rest)["--json-output"]).write_text(json.dumps({"result": {"runningProcesses": listed}}))
    sys.exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
