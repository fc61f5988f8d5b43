"""An Android phone through adb: `adb push` brings a piece to a folder of the shell, `run-as` takes it into the app.

So the phone never holds a second copy of a new bundle; one that is replaced stays until the new one is whole.
`run-as` needs a debuggable build of the app, which Android Studio installs.  Every file is checked on the phone: a
bundle appears in the app's folder only when all files there have the manifest's SHA-256.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from export.device.command import call
from export.device.phone import GOLDEN, Outcome, Task
from export.device.pieces import archive, split
from mobile_diffusion.errors import DeviceError
from mobile_diffusion.progress import Progress

PACKAGE = "org.mobilediffusion.sample"
ACTIVITY = f"{PACKAGE}/.BenchmarkActivity"
LANDING = "/data/local/tmp/mobile-diffusion"
"""Folder on the phone that adb may write and the app may read; one piece of a bundle lies there at a time."""
_PIECE = f"{LANDING}/piece"
INSTALL_ADB = "install Android's platform tools, or put adb on the PATH"
_ANSWER_S, _TRANSFER_S = 30.0, 3600.0
READY = "device"


@dataclass(frozen=True)
class AndroidPhone:
    """One phone, by its serial number."""

    serial: str

    @classmethod
    def find(cls, serial: str | None) -> AndroidPhone:
        """Return the connected phone; raises `DeviceError` for none, several without a serial, or one not ready."""
        states = read_states(call(("adb", "devices"), _ANSWER_S, INSTALL_ADB))
        if serial is None and len(states) != 1:
            names = ", ".join(states) or "none"
            raise DeviceError(f"expected one Android phone, got {names}; connect one, or choose with --device")
        chosen = serial or next(iter(states))
        state = states.get(chosen, "not connected")
        if state != READY:
            fix = "unlock it and allow USB debugging" if state == "unauthorized" else "connect it again"
            raise DeviceError(f"--device {chosen}: expected a phone that is ready, got one that is {state}; {fix}")
        return cls(chosen)

    def shell(self, script: str, timeout: float = _ANSWER_S) -> str:
        """Run a script in the phone's shell; returns what it prints."""
        return call(("adb", "-s", self.serial, "shell", script), timeout, INSTALL_ADB)

    def as_app(self, script: str, timeout: float = _ANSWER_S) -> str:
        """Run a script as the app's user, in the app's folder; returns what it prints."""
        return self.shell(f"run-as {PACKAGE} sh -c {shlex.quote(script)}", timeout)

    def check_app(self) -> None:
        """Raise `DeviceError` unless a debuggable build of the sample app is installed."""
        listed = self.shell(f"pm list packages {PACKAGE}").split()
        if f"package:{PACKAGE}" not in listed:
            raise DeviceError(f"{self.serial}: expected the app {PACKAGE}, got none; install apps/android on the phone")
        try:
            self.as_app("true")
        except DeviceError as error:
            raise DeviceError(f"{error}; install a debug build of apps/android") from None

    def send(self, bundle: Path, name: str, progress: Progress) -> None:
        """Copy a bundle into the app's models; on a failure nothing of it stays on the phone."""
        from export.bundle.bundle import open_bundle  # imports torch, which `doctor` must not need

        self.check_app()
        manifest = open_bundle(bundle).manifest
        part, place = f"files/models/.{name}.part", f"files/models/{name}"
        try:
            self.shell(f"rm -rf {LANDING} && mkdir -p {LANDING}")
            self.as_app(f"rm -rf {part} && mkdir -p {part}")
            self._send_files(bundle, [(entry.path, entry.size) for entry in manifest.files], part, progress)
            progress("checking every file on the phone", 0.9)
            self._check_files(part, {entry.path: entry.sha256 for entry in manifest.files})
            self.as_app(f"rm -rf {place} && mv {part} {place}")
        finally:
            with suppress(DeviceError):  # the message says what went wrong before
                self.shell(f"rm -rf {LANDING}")
                self.as_app(f"rm -rf {part}")

    def _send_files(self, bundle: Path, files: Sequence[tuple[str, int]], part: str, progress: Progress) -> None:
        """Bring each piece to the landing folder and from there into the app, one after the other."""
        from export.bundle.manifest_parts import MANIFEST

        small, large = split(files)
        sizes = dict(files)
        whole, sent = sum(sizes.values()) or 1, 0
        with tempfile.TemporaryDirectory() as folder:
            packed = Path(folder) / "small.tar"
            archive(bundle, [MANIFEST, *small], packed)
            progress(f"copying {bundle} to {self.serial}", 0.05)
            self._send_piece(packed, f"tar -x -f {_PIECE} -C {part}")
        sent = sum(sizes[path] for path in small)
        for path in large:
            progress(f"copying {path} to {self.serial}", 0.05 + 0.85 * sent / whole)
            place = shlex.quote(f"{part}/{path}")
            self._send_piece(bundle / path, f'mkdir -p "$(dirname {place})" && cp {_PIECE} {place}')
            sent += sizes[path]

    def _send_piece(self, file: Path, take: str) -> None:
        call(("adb", "-s", self.serial, "push", str(file), _PIECE), _TRANSFER_S, INSTALL_ADB)
        self.as_app(take, _TRANSFER_S)
        self.shell(f"rm -f {_PIECE}")

    def _check_files(self, folder: str, files: dict[str, str]) -> None:
        printed = self.as_app(f"cd {folder} && find . -type f -exec sha256sum {{}} +", _TRANSFER_S)
        found = {}
        for line in printed.splitlines():
            digest, _, path = line.partition(" ")
            found[path.strip().removeprefix("./")] = digest
        damaged = sorted(path for path, digest in files.items() if found.get(path) != digest)
        if damaged:
            got = found.get(damaged[0], "none")
            raise DeviceError(f"{damaged[0]}: expected the bundle's file on the phone, got {got}; push it again")

    def start(self, task: Task, name: str, threads: int, runs: int | None = None) -> None:
        """Start the app's benchmark activity, which also compares."""
        self.check_app()
        if not self._exists(f"files/models/{name}/manifest.json"):
            raise DeviceError(f"{self.serial}: expected the model {name}, got none; run `mobile-diffusion device push`")
        self.as_app(f"rm -f files/{task.folder}/{name}.json files/{task.folder}/{name}.error")
        extras = f"--es bundle {name} --ei threads {threads}"
        extras += " --ez golden true" if task == GOLDEN else ""
        extras += f" --ei runs {runs}" if runs is not None else ""
        printed = self.shell(f"am start -S -W -n {ACTIVITY} {extras}")
        problem = next((line for line in printed.splitlines() if line.startswith(("Error", "Exception"))), "")
        if problem:  # am exits with status 0 even then
            raise DeviceError(f"{ACTIVITY}: expected it to start, got {problem}; install apps/android of this version")

    def outcome(self, task: Task, name: str) -> Outcome | None:
        """Return the result, or None as long as there is none."""
        for kind in ("json", "error"):
            path = f"files/{task.folder}/{name}.{kind}"
            if self._exists(path):
                return Outcome(self.as_app(f"cat {path}").strip(), kind == "error")
        return None

    def running(self) -> bool:
        """Whether the app is alive."""
        return bool(self.shell(f"pidof {PACKAGE} || true").strip())

    def _exists(self, path: str) -> bool:
        return self.as_app(f"test -f {path} && echo yes || true").strip() == "yes"


def read_states(printed: str) -> dict[str, str]:
    """Serial number -> state, from what `adb devices` prints; notes of its server begin with an asterisk."""
    lines = (line.split() for line in printed.splitlines()[1:] if not line.startswith("*"))
    return {words[0]: words[1] for words in lines if len(words) == 2}
