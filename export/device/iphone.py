"""An iPhone through Xcode's devicectl, on a Mac: files are copied into the app's container.

devicectl cannot delete a file there, so an empty file means "no result yet".  UNVERIFIED: this was never run with an
iPhone or a Mac.  The commands follow `xcrun devicectl help`, and the tests replay them.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.device.command import call
from export.device.phone import Outcome, Task
from mobile_diffusion.errors import DeviceError
from mobile_diffusion.progress import Progress
from mobile_diffusion.strict_json import parse_json

APP = "org.mobilediffusion.Sample"
INSTALL_XCODE = "devicectl comes with Xcode 15 or later, on a Mac"
_ANSWER_S, _TRANSFER_S = 60.0, 3600.0


@dataclass(frozen=True)
class IPhone:
    """One iPhone, by its identifier."""

    identifier: str

    @classmethod
    def find(cls, identifier: str | None) -> IPhone:
        """Return the connected phone; raises `DeviceError` for none, and for several without an identifier."""
        known = {_identifier(device): _name(device) for device in _devices()}
        if identifier is None and len(known) != 1:
            names = ", ".join(f"{name} ({number})" for number, name in known.items()) or "none"
            raise DeviceError(f"expected one iPhone, got {names}; connect one, or choose with --device")
        chosen = identifier or next(iter(known))
        if chosen not in known:
            raise DeviceError(f"--device {chosen}: expected a connected iPhone, got none of that identifier")
        return cls(chosen)

    def send(self, bundle: Path, name: str, progress: Progress) -> None:
        """Copy a bundle into the app's models; the app verifies every file before it uses one."""
        from export.bundle.bundle import open_bundle  # imports torch, which `doctor` must not need

        open_bundle(bundle)
        progress(f"copying {bundle} to the iPhone", 0.1)
        self._copy_to(bundle, f"Documents/models/{name}", _TRANSFER_S)

    def start(self, task: Task, name: str, threads: int, runs: int | None = None) -> None:
        """Forget the last result and launch the app with the task's arguments."""
        with tempfile.TemporaryDirectory() as folder:
            empty = Path(folder) / "empty"
            empty.touch()
            for kind in ("json", "error"):
                self._copy_to(empty, f"Documents/{task.folder}/{name}.{kind}", _ANSWER_S)
        counted = () if runs is None else ("--runs", str(runs))
        options = (f"--{task.folder}", name, *counted, "--threads", str(threads))
        self._control("process", "launch", "--terminate-existing", APP, *options)

    def outcome(self, task: Task, name: str) -> Outcome | None:
        """Return the result, or None as long as both files are empty."""
        for kind in ("json", "error"):
            text = self._read(f"Documents/{task.folder}/{name}.{kind}").strip()
            if text:
                return Outcome(text, kind == "error")
        return None

    def running(self) -> bool:
        """Whether the app is alive."""
        with tempfile.TemporaryDirectory() as folder:
            listed = Path(folder) / "processes.json"
            self._control("info", "processes", "--json-output", str(listed))
            processes = parse_json(listed.read_text(encoding="utf-8"))["result"]["runningProcesses"]
        return any("/Sample.app/" in process.get("executable", "") for process in processes)

    def _read(self, path: str) -> str:
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "file"
            self._control("copy", "from", *_CONTAINER, "--source", path, "--destination", str(local))
            return local.read_text(encoding="utf-8") if local.is_file() else ""

    def _copy_to(self, source: Path, destination: str, timeout: float) -> None:
        places = ("--source", str(source), "--destination", destination, "--remove-existing-content", "true")
        self._control("copy", "to", *_CONTAINER, *places, timeout=timeout)

    def _control(self, group: str, verb: str, *words: str, timeout: float = _ANSWER_S) -> str:
        command = ("xcrun", "devicectl", "device", group, verb, "--device", self.identifier, *words)
        return call(command, timeout, INSTALL_XCODE)


_CONTAINER = ("--domain-type", "appDataContainer", "--domain-identifier", APP)


def connected_names(timeout: float = _ANSWER_S) -> list[str]:
    """The names of all iPhones that this Mac reaches; raises `DeviceError` without Xcode's tools."""
    return [_name(device) for device in _devices(timeout)]


def _devices(timeout: float = _ANSWER_S) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "devices.json"
        call(("xcrun", "devicectl", "list", "devices", "--json-output", str(listed)), timeout, INSTALL_XCODE)
        devices: list[dict[str, Any]] = parse_json(listed.read_text(encoding="utf-8"))["result"]["devices"]
    return devices


def _identifier(device: dict[str, Any]) -> str:
    return str(device["identifier"])


def _name(device: dict[str, Any]) -> str:
    return str(device.get("deviceProperties", {}).get("name", "iPhone"))
