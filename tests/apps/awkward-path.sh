#!/usr/bin/env bash
# Runs the tests of the apps, and of the commands that talk to phones, from a copy of this checkout whose path holds a
# space, an umlaut and both quotes. The copy holds the tracked files; it is removed at the end.
#
#     tests/apps/awkward-path.sh [pytest options]
set -euo pipefail
cd "$(dirname "$0")/../.."
checkout=$(pwd -P)
work=$(mktemp -d)
chmod 755 "$work"  # a test runs a program as another user
trap 'rm -rf "$work"' EXIT
copy="$work/a b ü 'c' \"d\"/checkout"
mkdir -p "$copy"
git ls-files -z | tar --null --files-from - --create | tar --extract --directory "$copy"
ln -s "$checkout/.venv" "$copy/.venv"
cd "$copy"
export PYTHONPATH="$copy" OMP_NUM_THREADS=1
.venv/bin/python -m pytest --basetemp "$work/a b ü 'c' \"d\"/temporary" "$@" tests/apps tests/export/device
