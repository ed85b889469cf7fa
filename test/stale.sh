#!/usr/bin/env bash
# Fails when gen/ is not what `buf generate` makes of proto/.
set -euo pipefail
cd "$(dirname "$0")/.."

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
buf generate --output "$fresh"
if ! diff -r "$fresh/gen" gen; then
  echo "gen/ is stale: run make generate and commit the result" >&2
  exit 1
fi
