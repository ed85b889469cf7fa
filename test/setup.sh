#!/usr/bin/env bash
# Installs the Debian packages that the tests use. Where that cannot be done, the tests that need one say aloud
# that they are skipped.
set -euo pipefail

"$(dirname "$0")/promtool.sh"

missing=()
for pair in nginx:nginx haproxy:haproxy debootstrap:debootstrap ip:iproute2 nft:nftables chromium:chromium \
    node:nodejs tsc:node-typescript; do
  command -v "${pair%%:*}" >/dev/null || test -x "/usr/sbin/${pair%%:*}" || missing+=("${pair##*:}")
done
if [ "${#missing[@]}" -eq 0 ]; then
  exit 0
fi
if ! command -v apt-get >/dev/null; then
  echo "WARNING: no apt-get here to install ${missing[*]} with; the tests that need them will be skipped" >&2
  exit 0
fi
sudo=()
if [ "$(id -u)" -ne 0 ]; then
  sudo=(sudo -n)
fi
echo "installing ${missing[*]}"
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
