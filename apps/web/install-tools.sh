#!/usr/bin/env bash
# Installs what is missing to build and test the browser's app: Debian's nodejs and npm, and in
# ~/.cache/mobile-diffusion/web the versions that package.json names (TypeScript's compiler, ONNX Runtime for browsers,
# Playwright's driver): about 200 MB, a minute.  The folder appears whole or not at all; nothing happens when all is there;
# without root, it says what to install.  Chromium is not installed: tests that need it are skipped without it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mobile-diffusion
tools=$cache/web

missing=()
for tool in node npm make; do
  command -v "$tool" >/dev/null || missing+=("${tool/#node/nodejs}")
done
if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "install-tools.sh: expected root on Debian or Ubuntu, got neither; install ${missing[*]}" >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

cmp -s "$here/package.json" "$tools/package.json" && exit 0
mkdir -p "$cache"
exec 9>"$cache/web.lock"
flock 9
cmp -s "$here/package.json" "$tools/package.json" && exit 0
draft=$(mktemp -d "$cache/web.part.XXXXXX")
trap 'rm -rf "$draft"' EXIT
cp "$here/package.json" "$draft"
npm install --prefix "$draft" --no-audit --no-fund --no-package-lock --silent --ignore-scripts >/dev/null
for file in typescript/bin/tsc onnxruntime-web/dist/ort.wasm.bundle.min.mjs playwright-core/package.json; do
  [ -e "$draft/node_modules/$file" ] || { echo "install-tools.sh: expected $file in the packages, got none" >&2; exit 1; }
done
chmod 755 "$draft"
rm -rf "$tools"
mv "$draft" "$tools"
