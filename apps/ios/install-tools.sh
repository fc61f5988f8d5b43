#!/usr/bin/env bash
# Puts Swift 6.0.3 into ~/.cache/mobile-diffusion/swift: Debian trixie's package `swiftlang` and what it needs, 2.6 GB,
# about two minutes.  The mirror is this machine's own, or DEBIAN_MIRROR.  The folder appears whole or not at all;
# nothing happens when it is there.
set -euo pipefail

folder="${XDG_CACHE_HOME:-$HOME/.cache}/mobile-diffusion/swift"
[ -x "$folder/usr/libexec/swift/bin/swift-build" ] && exit 0

refuse() {
  echo "install-tools.sh: expected $1; $2" >&2
  exit 1
}
[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || refuse "Linux on x86-64, got $(uname -sm)" "install Swift 6 from Xcode"
[ "$(id -u)" -eq 0 ] || refuse "root, got user $(id -un)" "run it as root, or put Swift 6 into $folder"
if ! command -v debootstrap >/dev/null; then
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap; } \
    >/dev/null 2>&1 || refuse "debootstrap, got none" "apt-get install debootstrap"
fi
mirror="${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
  grep -m 1 '/debian/*$' || true)}"
[ -n "$mirror" ] || refuse "a mirror of Debian among apt's sources, got none" "name one in DEBIAN_MIRROR"

mkdir -p "$(dirname "$folder")"
draft=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf --one-file-system "$draft"' EXIT
if ! debootstrap --variant=minbase --include=swiftlang,libc6-dev,libstdc++-14-dev trixie "$draft" "$mirror" >"$draft.log" 2>&1; then
  reason=$(tail -n 1 "$draft.log")
  rm -f "$draft.log"
  refuse "Debian trixie with swiftlang at $mirror, got: $reason" "name another mirror in DEBIAN_MIRROR"
fi
rm -rf "$draft.log" "$draft"/var/cache/apt/archives/*.deb
chmod 755 "$draft"
mv -T "$draft" "$folder"
trap - EXIT
