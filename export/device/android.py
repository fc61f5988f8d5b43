"""An Android phone through adb: `adb push` copies files to a folder of the shell, `run-as` moves them into the app.

`run-as` needs a debuggable build of the app, which Android Studio installs.  Every file is checked on the phone: a
bundle appears in the app's folder only when all files there have the manifest's SHA-256.
"""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from export.device.command import call
from export.device.phone import Outcome
from mobile_diffusion.errors import DeviceError
from mobile_diffusion.progress import Progress

PACKAGE = "org.mobilediffusion.sample"
ACTIVITY = f"{PACKAGE}/.BenchmarkActivity"
LANDING = "/data/local/tmp/mobile-diffusion"
"""Folder on the phone that adb may write and the app may read."""
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
        files = {entry.path: entry.sha256 for entry in open_bundle(bundle).manifest.files}
        landing, part, place = f"{LANDING}/{name}", f"files/models/.{name}.part", f"files/models/{name}"
        try:
            progress(f"copying {bundle} to {self.serial}", 0.1)
            self.shell(f"rm -rf {landing} && mkdir -p {LANDING}")
            call(("adb", "-s", self.serial, "push", str(bundle), landing), _TRANSFER_S, INSTALL_ADB)
            progress("moving it into the app", 0.7)
            self.as_app(f"rm -rf {part} && mkdir -p files/models && cp -r {landing} {part}", _TRANSFER_S)
            progress("checking every file on the phone", 0.9)
            self._check_files(part, files)
            self.as_app(f"rm -rf {place} && mv {part} {place}")
        finally:
            with suppress(DeviceError):  # the message says what went wrong before
                self.shell(f"rm -rf {landing}")
                self.as_app(f"rm -rf {part}")

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

    def start(self, name: str, runs: int, threads: int) -> None:
        """Start the app's benchmark activity."""
        self.check_app()
        if not self._exists(f"files/models/{name}/manifest.json"):
            raise DeviceError(f"{self.serial}: expected the model {name}, got none; run `mobile-diffusion device push`")
        self.as_app(f"rm -f files/benchmark/{name}.json files/benchmark/{name}.error")
        extras = f"--es bundle {name} --ei runs {runs} --ei threads {threads}"
        printed = self.shell(f"am start -S -W -n {ACTIVITY} {extras}")
        problem = next((line for line in printed.splitlines() if line.startswith(("Error", "Exception"))), "")
        if problem:  # am exits with status 0 even then
            raise DeviceError(f"{ACTIVITY}: expected it to start, got {problem}; install apps/android of this version")

    def outcome(self, name: str) -> Outcome | None:
        """Return the result, or None as long as there is none."""
        for kind in ("json", "error"):
            path = f"files/benchmark/{name}.{kind}"
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
