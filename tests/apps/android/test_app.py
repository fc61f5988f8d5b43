"""The Android app without Android: its logic on the JVM, its code compiled against stubs, its APK."""

from __future__ import annotations

import re
import subprocess
import tomllib
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest

from tests.apps.conftest import ROOT
from tests.apps.languages import ANDROID as SOURCE
from tests.apps.languages import LANGUAGES, apk_missing, make

MAIN = SOURCE / "app" / "src" / "main"
RES = MAIN / "res"
ANDROID = "{http://schemas.android.com/apk/res/android}"


def require_apk_tools() -> None:
    """Skip unless an APK can be made."""
    LANGUAGES[1].require()
    if reason := apk_missing():
        pytest.skip(reason)


def catalogue() -> dict[str, str]:
    versions: dict[str, str] = tomllib.loads((SOURCE / "gradle" / "libs.versions.toml").read_text())["versions"]
    return versions


def test_the_catalogue_has_the_exporters_runtime() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = [line for line in project["optional-dependencies"]["export"] if line.startswith("executorch==")]
    assert pinned == [f"executorch=={catalogue()['executorch']}"]


def test_the_catalogue_has_the_compiler_that_is_used_here() -> None:
    script = (SOURCE / "install-tools.sh").read_text()
    assert f"kotlin_version={catalogue()['kotlin']}\n" in script


def test_junit(redrawing: Path) -> None:
    require_apk_tools()  # aapt2 makes the class R
    written = sum(path.read_text(encoding="utf-8").count("@Test") for path in SOURCE.glob("app/src/test/**/*.kt"))
    printed = make(SOURCE, "app-test", f"BUNDLE={redrawing}")
    (count,) = re.findall(r"^OK \((\d+) tests\)$", printed, re.MULTILINE)
    assert int(count) == written >= 35


def test_the_apk_is_whole_and_signed() -> None:
    require_apk_tools()
    make(SOURCE, "apk")
    apk = SOURCE / "build" / "sample.apk"
    with zipfile.ZipFile(apk) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
    assert {"AndroidManifest.xml", "resources.arsc", "classes.dex"} <= names
    subprocess.run(["apksigner", "verify", "--min-sdk-version", catalogue()["min-sdk"], apk], check=True)
    printed = subprocess.run(["aapt2", "dump", "badging", apk], check=True, capture_output=True, text=True).stdout
    assert "package: name='org.mobilediffusion.sample'" in printed
    assert f"sdkVersion:'{catalogue()['min-sdk']}'" in printed
    assert f"targetSdkVersion:'{catalogue()['target-sdk']}'" in printed
    assert "launchable-activity: name='org.mobilediffusion.sample.DrawActivity'" in printed


def test_a_changed_apk_is_not_verified(tmp_path: Path) -> None:
    require_apk_tools()
    make(SOURCE, "apk")
    changed = tmp_path / "changed.apk"
    data = bytearray((SOURCE / "build" / "sample.apk").read_bytes())
    with zipfile.ZipFile(SOURCE / "build" / "sample.apk") as archive:
        code = archive.getinfo("classes.dex")
    data[code.header_offset + code.compress_size // 2] ^= 1
    changed.write_bytes(data)
    done = subprocess.run(["apksigner", "verify", "--min-sdk-version", "23", changed], capture_output=True)
    assert done.returncode != 0


@pytest.mark.parametrize("layout", sorted(RES.glob("layout/*.xml")), ids=lambda path: path.stem)
def test_layouts_can_be_used_by_everyone(layout: Path) -> None:
    for view in ET.parse(layout).getroot().iter():
        values = {name.removeprefix(ANDROID): value for name, value in view.attrib.items()}
        for name in ("text", "hint", "contentDescription"):
            assert values.get(name, "@string/").startswith("@string/"), f"{values}: a text outside strings.xml"
        if view.tag == "ImageButton" and values.get("id") != "@+id/delete":
            assert "contentDescription" in values, f"{values}: a button without a name"
        assert not values.get("textSize", "").endswith(("dp", "px")), f"{values}: a text that does not scale"


def test_the_deletion_of_a_model_has_a_name() -> None:
    """Its description says which model, so that the code sets it."""
    code = (MAIN / "kotlin/org/mobilediffusion/sample/ModelList.kt").read_text()
    assert "it.contentDescription = context.getString(R.string.delete_model, row.name)" in code


def test_the_night_has_every_colour() -> None:
    names = [
        {item.attrib["name"] for item in ET.parse(RES / folder / "colors.xml").getroot()}
        for folder in ("values", "values-night")
    ]
    assert names[0] == names[1]


def luminance(color: str) -> float:
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("folder", ["values", "values-night"])
@pytest.mark.parametrize(
    ("text", "behind"),
    [
        ("text", "background"),
        ("text", "sunken"),
        ("text_soft", "background"),
        ("text_soft", "sunken"),
        ("text_soft", "surface"),
        ("accent", "background"),
        ("accent", "accent_soft"),
        ("on_accent", "accent"),
    ],
)
def test_texts_have_contrast(folder: str, text: str, behind: str) -> None:
    """4.5 to 1, as WCAG asks of small texts."""
    colors = {item.attrib["name"]: item.text or "" for item in ET.parse(RES / folder / "colors.xml").getroot()}
    dark, light = sorted(luminance(colors[name]) for name in (text, behind))
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_every_text_is_used() -> None:
    names = [item.attrib["name"] for item in ET.parse(RES / "values" / "strings.xml").getroot()]
    sources = [*MAIN.rglob("*.kt"), *RES.rglob("*.xml"), MAIN / "AndroidManifest.xml"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    unused = [name for name in names if f"R.string.{name}" not in code and f"@string/{name}" not in code]
    assert not unused


def test_what_is_exported_is_known() -> None:
    application = ET.parse(MAIN / "AndroidManifest.xml").getroot().find("application")
    assert application is not None
    exported = {each.attrib[f"{ANDROID}name"] for each in application if each.attrib[f"{ANDROID}exported"] == "true"}
    assert exported == {"org.mobilediffusion.sample.DrawActivity", "org.mobilediffusion.sample.BenchmarkActivity"}
    # Only adb's shell may start the benchmark, and no app.
    (benchmark,) = (each for each in application if each.attrib[f"{ANDROID}name"].endswith(".BenchmarkActivity"))
    assert benchmark.attrib[f"{ANDROID}permission"] == "android.permission.DUMP"


def test_a_debug_build_changes_only_the_cleartext_traffic() -> None:
    """Gradle merges these manifests alone: the modules have none of their own, and ExecuTorch's AAR is not at hand."""
    found = {path.relative_to(SOURCE).as_posix() for path in SOURCE.glob("*/src/*/AndroidManifest.xml")}
    assert found == {"app/src/main/AndroidManifest.xml", "app/src/debug/AndroidManifest.xml"}
    root = ET.parse(SOURCE / "app" / "src" / "debug" / "AndroidManifest.xml").getroot()
    assert [each.tag for each in root.iter()] == ["manifest", "application"] and root.attrib == {}
    changed = {name.rpartition("}")[2] for name in root[0].attrib}
    assert changed == {"usesCleartextTraffic", "replace"}


def test_the_manifest_in_the_apk_lets_no_other_app_in() -> None:
    """As aapt2 links it, from the sources of a release: no Gradle, which merges manifests, is at hand."""
    require_apk_tools()
    make(SOURCE, "apk")
    command = ["aapt2", "dump", "xmltree", "--file", "AndroidManifest.xml", SOURCE / "build" / "sample.apk"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    application, *components = re.split(r"E: (?:activity|service|provider|receiver) ", printed)
    assert re.search(r"usesCleartextTraffic\(\w+\)=false", application)
    assert len(components) == 7
    exported = [each for each in components if not re.search(r"exported\(\w+\)=false", each)]
    launcher, benchmark = sorted(exported, key=lambda each: "android.intent.category.LAUNCHER" not in each)
    assert "android.intent.category.LAUNCHER" in launcher and "E: data" not in launcher
    assert 'permission(0x01010006)="android.permission.DUMP"' in benchmark


def test_no_cleartext_traffic_but_in_a_debug_build() -> None:
    """Which then asks only computers nearby: DownloadTest."""
    allowed = {}
    for build in ("main", "debug"):
        root = ET.parse(SOURCE / "app" / "src" / build / "AndroidManifest.xml").getroot()
        application = root.find("application")
        assert application is not None
        allowed[build] = application.attrib[f"{ANDROID}usesCleartextTraffic"]
    assert allowed == {"main": "false", "debug": "true"}


def test_a_service_keeps_work_alive_and_nobody_else_can_start_it() -> None:
    root = ET.parse(MAIN / "AndroidManifest.xml").getroot()
    (service,) = root.iter("service")
    kind = service.attrib[f"{ANDROID}foregroundServiceType"]
    granted = {each.attrib[f"{ANDROID}name"] for each in root.iter("uses-permission")}
    assert kind == "dataSync" and service.attrib[f"{ANDROID}exported"] == "false"
    assert {"android.permission.FOREGROUND_SERVICE", "android.permission.FOREGROUND_SERVICE_DATA_SYNC"} <= granted


def test_every_flavour_has_its_own_library_and_its_runtimes() -> None:
    flavours = r'create\("(\w+)"\)'
    app, library = ((SOURCE / part / "build.gradle.kts").read_text() for part in ("app", "executorch"))
    assert re.findall(flavours, app) == re.findall(flavours, library) == ["cpu", "vulkan", "qnn"]
    assert re.findall(r'"runtimes", "([a-z ]+)"', app) == ["xnnpack", "xnnpack vulkan", "xnnpack qnn"]
    assert re.findall(r'"(\w+)Implementation"\(libs\.executorch(?:\.(\w+))?\)', library) == [
        ("cpu", ""),
        ("vulkan", "vulkan"),
        ("qnn", "qnn"),
    ]
