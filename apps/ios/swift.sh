#!/usr/bin/env bash
# Runs a command with the toolchain that install-tools.sh has installed: its /usr replaces this machine's, for the command
# alone, and the checkout appears at /usr/src. SwiftPM cannot build in a folder whose path holds a quote; there it never
# sees one. So give paths relative to the working folder; messages show /usr/src for the checkout.
#
#     apps/ios/swift.sh swift build --package-path apps/ios/MobileDiffusionKit
#
# This mounts in a mount namespace: it takes root, or a system that lets users create namespaces. Built programs are
# started outside of it, without any rights, by the toolchain's own loader:
#
#     apps/ios/swift.sh --run apps/ios/build/kit/release/draw --help
set -euo pipefail

root="${XDG_CACHE_HOME:-$HOME/.cache}/mobile-diffusion/swift"
libraries="$root/usr/lib/x86_64-linux-gnu:$root/usr/libexec/swift/lib/swift/linux"
checkout=$(cd "$(dirname "$0")/../.." && pwd -P)
folder=$(pwd -P)

if [ ! -x "$root/usr/libexec/swift/bin/swift-build" ]; then
  echo "swift.sh: expected Swift in $root, got none; apps/ios/install-tools.sh installs it" >&2
  exit 69
fi
if [ "${1:-}" = --run ]; then
  shift
  exec "$root/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2" --library-path "$libraries" "$@"
fi
namespace=(unshare --mount)
[ "$(id -u)" -eq 0 ] || namespace+=(--map-root-user)
if ! "${namespace[@]}" mount --bind "$root/usr" /usr 2>/dev/null; then
  echo "swift.sh: expected the right to mount in a namespace, got none; run it as root, outside a restricted container" >&2
  exit 69
fi
case "$folder/" in
"$checkout"/*) folder="/usr/src${folder#"$checkout"}" ;;
esac
export PATH="/usr/libexec/swift/bin:$PATH"
exec "${namespace[@]}" sh -c '
  mount --bind "$1" "$0/usr/src" && mount --rbind "$0/usr" /usr && cd "$2" && shift 2 && exec "$@"
' "$root" "$checkout" "$folder" "$@"
