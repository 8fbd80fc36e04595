#!/usr/bin/env bash
# Runs every fuzz target of the module for a while, one after the other, and
# says at the end which of them failed. Found inputs are kept by Go in
# testdata/fuzz of the package: commit them with the fix.
set -uo pipefail
cd "$(dirname "$0")/.."
time="${1:-60s}" go="${GO:-go}"
failed=""
out=$(mktemp)
trap 'rm -f "$out"' EXIT
for package in $("$go" list ./...); do
  for target in $("$go" test -list '^Fuzz' "$package" 2>/dev/null | grep '^Fuzz'); do
    echo "== $package $target"
    "$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x -parallel 2 "$package" 2>&1 | tee "$out" && continue
    # When the time is up while an input runs, the engine reports its own
    # deadline as a failure; a real one names the input.
    if grep -q 'context deadline exceeded' "$out" && ! grep -q 'Failing input' "$out"; then
      echo "   (time was up, no failing input)"
      continue
    fi
    failed="$failed $target"
  done
done
if [ -n "$failed" ]; then
  echo "failed:$failed"
  exit 1
fi
