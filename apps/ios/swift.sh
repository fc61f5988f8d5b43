#!/usr/bin/env bash
# Runs a command with the toolchain that install-tools.sh has installed: its /usr in the place of this machine's, for
# the command alone.
#
#     apps/ios/swift.sh swift build --package-path apps/ios/MobileDiffusionKit
#
# That is a mount in a namespace of its own: it takes root, or a system that lets users have namespaces.  Programs that
# were built are started with no rights at all, by the toolchain's own loader:
#
#     apps/ios/swift.sh --run apps/ios/build/kit/debug/draw --help
set -euo pipefail

root="${XDG_CACHE_HOME:-$HOME/.cache}/mobile-diffusion/swift"
libraries="$root/usr/lib/x86_64-linux-gnu:$root/usr/libexec/swift/lib/swift/linux"

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
export PATH="/usr/libexec/swift/bin:$PATH"
exec "${namespace[@]}" sh -c 'mount --bind "$0/usr" /usr && exec "$@"' "$root" "$@"
