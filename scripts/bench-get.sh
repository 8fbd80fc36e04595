#!/bin/sh
# `ingest get` through the socket beside `pass show` and `gopass show`, with
# 1,000 passwords each: medians in milliseconds, and their ratios. "ingest" is
# what the Debian package installs, "whole" the program alone (`make build`).
# pass, gopass and gnupg are Debian's (install-test-deps.sh bench).
#
# usage: bench-get.sh [ROUNDS]    default: 200
set -eu
cd "$(dirname "$0")/.."
./scripts/install-test-deps.sh bench
exec "${GO:-go}" test -run '^$' -bench '^BenchmarkGet$' -benchtime "${1:-200}x" ./cmd/ingest
