#!/usr/bin/env bash
# Compares BenchmarkEcho of this tree, in turn in one run, with the same benchmark
#   - of another commit, and
#   - of this tree with retention and receipts taken out: messages are forgotten as they are sent, and nothing says what
#     was consumed.
# usage: test/compare.sh [COMMIT] [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."

against=${1:-HEAD~1}
rounds=${2:-7}
messages=400000
package=./services/relay/internal/relay
bench=services/relay/internal/relay/bench_echo_test.go
dir=$(mktemp -d)
trap 'git worktree remove --force "$dir/base" 2>/dev/null || true; rm -rf "$dir"' EXIT

git worktree add --quiet --detach "$dir/base" "$against"
cp "$bench" "$dir/base/$bench"
(cd "$dir/base" && go test -c -o "$dir/base.test" "$package")
go test -c -o "$dir/this.test" "$package"

# once FILE OLD NEW prints FILE with the one occurrence of OLD replaced.
once() {
  awk -v old="$2" -v new="$3" '
    { at = index($0, old); if (at) { n++; $0 = substr($0, 1, at - 1) new substr($0, at + length(old)) } print }
    END { if (n != 1) { print FILENAME ": " n " times " old > "/dev/stderr"; exit 1 } }' "$1"
}
outbox=$PWD/pkg/ordering/outbox.go
inbox=$PWD/pkg/ordering/inbox.go
once "$outbox" $'\to.sent++' $'\to.sent++; o.bytes -= o.retained.pop().Cost(); o.acked++' >"$dir/outbox.go"
once "$inbox" 'in.consumedBytes += in.takenBytes' 'in.outstanding -= in.takenBytes; in.reported = in.consumed' >"$dir/inbox.go"
printf '{"Replace":{"%s":"%s","%s":"%s"}}' "$outbox" "$dir/outbox.go" "$inbox" "$dir/inbox.go" >"$dir/overlay.json"
go test -c -overlay "$dir/overlay.json" -o "$dir/forgetful.test" "$package"

run() {
  "$dir/$1.test" -test.run '^$' -test.bench '^BenchmarkEcho$' -test.benchtime "${messages}x" 2>/dev/null |
    awk '/^BenchmarkEcho/ { print $3 }' >>"$dir/$1.ns"
}
for i in $(seq "$rounds"); do
  for build in base this forgetful; do run "$build"; done
  echo "round $i of $rounds: $(tail -qn1 "$dir/base.ns" "$dir/this.ns" "$dir/forgetful.ns" | paste -sd' ') ns (other commit, this tree, without retention)" >&2
done

median() { sort -n "$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
base=$(median "$dir/base.ns") this=$(median "$dir/this.ns") forgetful=$(median "$dir/forgetful.ns")
awk -v a="$base" -v b="$this" -v c="$forgetful" -v name="$(git rev-parse --short "$against")" 'BEGIN {
  printf "throughput of this tree against %s: %.3f (%.0f and %.0f ns a message)\n", name, a / b, b, a
  printf "throughput of this tree against itself without retention and receipts: %.3f (%.0f ns)\n", c / b, c
}'
