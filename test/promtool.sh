#!/usr/bin/env bash
# Puts promtool, which tests the alert rules, into bin/tools: out of the Debian package prometheus, which is not installed, as it
# would start a server. Where that cannot be done, the tests that need it say aloud that they are skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

if command -v promtool >/dev/null || test -x bin/tools/promtool; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "WARNING: no apt-get here to get promtool with; the alert rules will not be tested" >&2
  exit 0
fi
sudo=()
if [ "$(id -u)" -ne 0 ]; then
  sudo=(sudo -n)
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "getting promtool"
(
  cd "$work"
  # The lists of packages may be old, or not there at all.
  apt-get download -qq prometheus 2>/dev/null || { "${sudo[@]}" apt-get update -qq && apt-get download -qq prometheus; }
  dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
)
mkdir -p bin/tools
install -m 755 "$work/usr/bin/promtool" bin/tools/promtool
