"""The tools that reach a phone, the phones that they see, and Qualcomm's SDK."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from export.device.android import INSTALL_ADB, READY, read_states
from export.device.command import call
from export.device.iphone import INSTALL_XCODE, connected_names
from export.doctor.finding import OK, OPTIONAL, Finding
from mobile_diffusion.errors import DeviceError

ANSWER_S = 15.0
SDK_VARIABLE = "QNN_SDK_ROOT"


def examine_android() -> Iterator[Finding]:
    """adb, and the state of each phone that it sees."""
    place = shutil.which("adb")
    if place is None:
        yield Finding("Android tools", OPTIONAL, "no adb", f"for `device push` and `device bench`: {INSTALL_ADB}")
        return
    yield Finding("Android tools", OK, place)
    try:
        states = read_states(call(("adb", "devices"), ANSWER_S, INSTALL_ADB))
    except DeviceError as error:
        yield Finding("Android phones", OPTIONAL, str(error), "run `adb kill-server`, then `adb devices`")
        return
    if not states:
        yield Finding("Android phones", OPTIONAL, "none", "connect a phone by USB, with USB debugging allowed")
    for serial, state in states.items():
        fix = "unlock it and allow USB debugging" if state == "unauthorized" else "connect it again"
        yield Finding(f"Android phone {serial}", *((OK, state) if state == READY else (OPTIONAL, state, fix)))


def examine_iphone() -> Iterator[Finding]:
    """Xcode's tools, and the iPhones that they see."""
    if platform.system() != "Darwin":
        yield Finding("iPhone tools", OPTIONAL, f"not on {platform.system()}", "to reach an iPhone, use a Mac")
        return
    try:
        names = connected_names(ANSWER_S)
    except DeviceError as error:
        yield Finding("iPhone tools", OPTIONAL, str(error), INSTALL_XCODE)
        return
    yield Finding("iPhone tools", OK, shutil.which("xcrun") or "xcrun")
    if not names:
        yield Finding("iPhones", OPTIONAL, "none", "connect an iPhone by USB, and trust this Mac")
    for name in names:
        yield Finding(f"iPhone {name}", OK, "connected")


def examine_qnn() -> Finding:
    """Qualcomm's SDK, which the runtime qnn needs."""
    place = os.environ.get(SDK_VARIABLE, "")
    fix = f"for `--runtime qnn`: install Qualcomm's AI Engine Direct SDK, and let ${SDK_VARIABLE} name its folder"
    if not place:
        return Finding("Qualcomm's SDK", OPTIONAL, f"${SDK_VARIABLE} is not set", fix)
    if not (Path(place) / "lib").is_dir():
        return Finding("Qualcomm's SDK", OPTIONAL, f"no folder lib in {place}", fix)
    return Finding("Qualcomm's SDK", OK, place)
