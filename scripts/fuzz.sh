#!/usr/bin/env bash
# Runs every fuzz target of the module for a while, one after the other.
# Found inputs are kept by Go in testdata/fuzz of the package.
set -euo pipefail
cd "$(dirname "$0")/.."
time="${1:-60s}"
for package in $(go list ./...); do
  for target in $(go test -list '^Fuzz' "$package" 2>/dev/null | grep '^Fuzz' || true); do
    echo "== $package $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x -parallel 2 "$package"
  done
done
