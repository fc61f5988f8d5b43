"""The sample app: its logic run here, its sources type-checked, its project and texts read, its screens rendered."""

from __future__ import annotations

import importlib.util
import json
import plistlib
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image

from tests.apps.languages import IOS as SOURCE
from tests.apps.languages import LANGUAGES, make, passed_swift_tests, written_swift_tests

SWIFT = LANGUAGES[2]
SAMPLE = SOURCE / "Sample"
CORE = SOURCE / "SampleCore"
PROJECT = SOURCE / "Sample.xcodeproj" / "project.pbxproj"
SOURCES = sorted(SAMPLE.rglob("*.swift"))
TOKENS = re.compile(r'//[^\n]*|/\*.*?\*/|"((?:[^"\\]|\\.)*)"|([\w./$<>-]+)|([{}()=;,])', re.S)


class Server(BaseHTTPRequestHandler):
    """Serves the files of a bundle: /breaking/ breaks off the first answer for a file and knows Range, /whole/ does not
    know it, /slow/ never ends."""

    bundle: Path
    broken: set[str]

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing: the tests read the output."""

    def do_GET(self) -> None:
        _, kind, path = self.path.split("/", 2)
        file = self.bundle / path
        if kind == "nothing" or not file.is_file():
            self.send_error(404)
            return
        data = file.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if kind == "breaking" else None
        first = int(asked[1]) if asked else 0
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(data) - first))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        self.write(kind, path, data[first:])

    def write(self, kind: str, path: str, data: bytes) -> None:
        """Send what this kind of server sends."""
        breaks = self.path not in self.broken and path != "manifest.json"
        self.broken.add(self.path)
        if kind == "slow" and path != "manifest.json":
            self.wfile.write(data[:100])
            self.wfile.flush()
            time.sleep(5)
        elif breaks:
            self.wfile.write(data[: len(data) // 2])
        else:
            self.wfile.write(data)
        self.close_connection = True


@pytest.fixture
def server(guided: Path) -> Iterator[str]:
    """Address of a server of the bundle."""
    handler = type("Handler", (Server,), {"bundle": guided, "broken": set()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as listener:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_address[1]}"
        listener.shutdown()


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    """The project file, read."""
    return parse(PROJECT.read_text(encoding="utf-8"))


def parse(text: str) -> dict[str, Any]:
    """An old-style property list: dictionaries, lists and strings."""
    tokens = [each for each in TOKENS.finditer(text) if not each[0].startswith(("//", "/*"))]
    assert not re.sub(r"\s", "", TOKENS.sub("", text))
    value, end = read_value(tokens, 0)
    assert end == len(tokens)
    assert isinstance(value, dict)
    return value


def read_value(tokens: list[re.Match[str]], place: int) -> tuple[Any, int]:
    """A value and the place after it."""
    token = tokens[place]
    if token[0] == "{":
        members: dict[str, Any] = {}
        place += 1
        while tokens[place][0] != "}":
            name, place = read_value(tokens, place)
            assert tokens[place][0] == "=" and name not in members
            members[name], place = read_value(tokens, place + 1)
            assert tokens[place][0] == ";"
            place += 1
        return members, place + 1
    if token[0] == "(":
        entries = []
        place += 1
        while tokens[place][0] != ")":
            entry, place = read_value(tokens, place)
            entries.append(entry)
            assert tokens[place][0] == ","
            place += 1
        return entries, place + 1
    assert token[3] is None, token[0]
    return token[1] if token[1] is not None else token[2], place + 1


def test_the_apps_logic(guided: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE_BUNDLE", str(guided))
    monkeypatch.setenv("SAMPLE_SERVER", server)
    SWIFT.require()
    output = make(SOURCE, "app-test")
    written = written_swift_tests(CORE / "Tests")
    assert passed_swift_tests(output) == written
    assert f"Executed {len(written)} tests, with 0 failures" in output


def test_all_sources_of_the_app_are_type_checked() -> None:
    SWIFT.require()
    make(SOURCE, "app-check")


def test_every_reference_of_the_project_is_an_object(project: dict[str, Any]) -> None:
    objects = project["objects"]
    assert project["objectVersion"] == "77"
    assert objects[project["rootObject"]]["isa"] == "PBXProject"
    named = set(re.findall(r"\b[0-9A-F]{24}\b", PROJECT.read_text()))
    assert named == set(objects)
    assert all("isa" in each for each in objects.values())


def test_every_file_that_the_project_names_exists(project: dict[str, Any]) -> None:
    objects = list(project["objects"].values())
    (group,) = (each for each in objects if each["isa"] == "PBXFileSystemSynchronizedRootGroup")
    assert (SOURCE / group["path"]).is_dir()
    exceptions = project["objects"][group["exceptions"][0]]["membershipExceptions"]
    assert all((SAMPLE / path).exists() for path in [*exceptions, *group["explicitFolders"]])
    packages = {each["relativePath"] for each in objects if each["isa"] == "XCLocalSwiftPackageReference"}
    assert packages == {"MobileDiffusionKit", "SampleCore"}
    manifests = "".join((SOURCE / package / "Package.swift").read_text() for package in packages)
    products = [each["productName"] for each in objects if each["isa"] == "XCSwiftPackageProductDependency"]
    assert sorted(products) == ["CoreAIRunner", "CoreMLRunner", "ExecuTorchRunner", "MobileDiffusionKit", "SampleCore"]
    assert all(f'.library(name: "{product}"' in manifests for product in products)


def test_settings_of_the_app(project: dict[str, Any]) -> None:
    objects = project["objects"].values()
    settings = [each["buildSettings"] for each in objects if each["isa"] == "XCBuildConfiguration"]
    apps = [each for each in settings if "PRODUCT_BUNDLE_IDENTIFIER" in each]
    assert len(settings) == 4 and len(apps) == 2
    for each in apps:
        assert each["PRODUCT_BUNDLE_IDENTIFIER"] == "org.mobilediffusion.Sample"
        assert each["OTHER_LDFLAGS"] == "-all_load"
        assert (SOURCE / each["INFOPLIST_FILE"]).is_file()
        entitlements = plistlib.loads((SOURCE / each["CODE_SIGN_ENTITLEMENTS"]).read_bytes())
        assert entitlements == {"com.apple.developer.kernel.increased-memory-limit": True}
        for name in ("ASSETCATALOG_COMPILER_APPICON_NAME", "ASSETCATALOG_COMPILER_GLOBAL_ACCENT_COLOR_NAME"):
            assert len(list((SAMPLE / "Assets.xcassets").glob(f"{each[name]}.*"))) == 1
    assert {each.get("SWIFT_VERSION", "6.0") for each in settings} == {"6.0"}
    information = plistlib.loads((SAMPLE / "Info.plist").read_bytes())
    assert information["UIFileSharingEnabled"] and information["NSPhotoLibraryAddUsageDescription"]


def test_the_icon_has_the_size_that_is_asked_for() -> None:
    folder = SAMPLE / "Assets.xcassets" / "AppIcon.appiconset"
    (entry,) = json.loads((folder / "Contents.json").read_text())["images"]
    with Image.open(folder / entry["filename"]) as icon:
        assert f"{icon.width}x{icon.height}" == entry["size"]
        assert icon.mode == "RGB"  # an icon with transparency is refused


def units(entry: dict[str, Any], language: str) -> list[str]:
    """The texts of an entry in a language; several where it depends on a number."""
    given = entry["localizations"].get(language)
    if given is None:
        return []
    forms = [given] if "stringUnit" in given else list(given["variations"]["plural"].values())
    return [form["stringUnit"]["value"] for form in forms]


def test_every_text_is_there_in_both_languages() -> None:
    catalogue = json.loads((SAMPLE / "Localizable.xcstrings").read_text(encoding="utf-8"))
    assert catalogue["sourceLanguage"] == "en"
    specifiers = re.compile(r"%(?:\d\$)?(@|lld)")
    for key, entry in catalogue["strings"].items():
        texts = units(entry, "de")
        assert texts and all(texts), key
        for text in texts:
            assert sorted(specifiers.findall(text)) == sorted(specifiers.findall(key)), key


def render() -> ModuleType:
    """The program that makes the pictures of the screens."""
    spec = importlib.util.spec_from_file_location("render", SOURCE / "preview" / "render.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_symbols_are_drawn() -> None:
    used = {
        name
        for path in SOURCES
        for name in re.findall(r'(?:systemImage|systemName|symbol): "([\w.]+)"', path.read_text())
    }
    drawn = json.loads((SOURCE / "preview" / "symbols.json").read_text())
    assert used and used <= set(drawn)


@pytest.mark.parametrize("language", ("en", "de"))
def test_the_screens_of_a_real_drawing(language: str, redrawing: Path, tmp_path: Path) -> None:
    SWIFT.require()
    make(SOURCE, "app-preview")
    pages = render().collect(redrawing, None, language, tmp_path)
    screens = pages["screens"]
    names = ("empty", "drawing", "finished", "start", "hints", "history", "detail", "models", "download", "benchmark")
    assert set(screens) == {f"{name}-{look}" for name in names for look in ("light", "dark")}
    catalogue = json.loads((SAMPLE / "Localizable.xcstrings").read_text(encoding="utf-8"))["strings"]
    assert set(pages["keys"]) <= set(catalogue)
    step = {"en": "Step 5 of 8", "de": "Schritt 5 von 8"}[language]
    assert step in screens["drawing-light"]
    assert screens["history-light"].count("<img") == 6
    assert "<img" in screens["finished-dark"] and "<img" not in screens["empty-dark"]
    follows = {"en": "Picture 2 of 2", "de": "Bild 2 von 2"}[language]
    assert follows in screens["hints-dark"] and follows not in screens["start-dark"]
    assert "(word:1.3)" in screens["empty-light"]
    assert "executorch" in screens["benchmark-light"]
