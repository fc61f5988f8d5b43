#!/usr/bin/env bash
# Installs what is missing to build the runner for this machine and for 64-bit ARM, to run the latter here, and to test
# both under other languages: Debian's packages, about a minute.  Nothing happens when all is there; without root, it says what to install.
set -euo pipefail

declare -A package=(
  [g++]=g++
  [make]=make
  [aarch64-linux-gnu-g++]=g++-aarch64-linux-gnu
  [qemu-aarch64-static]=qemu-user-static
)
missing=()
for tool in "${!package[@]}"; do
  command -v "$tool" >/dev/null || missing+=("${package[$tool]}")
done
[ -e /usr/share/i18n/locales/tr_TR ] || missing+=(locales)
[ -e /usr/include/nlohmann/json.hpp ] || missing+=(nlohmann-json3-dev)
[ -e /usr/include/stb/stb_image.h ] || missing+=(libstb-dev)
[ "${#missing[@]}" -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "install-tools.sh: expected root on Debian or Ubuntu, got neither; install ${missing[*]}" >&2
  exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
