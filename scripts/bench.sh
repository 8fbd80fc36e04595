#!/bin/sh
# All measurements, on a generated inbox that lives as long as they take; the
# table goes to stdout and into docs/performance.md. Then what Go's own
# benchmarks say, for benchstat, and `ingest get` beside pass and gopass.
#
# usage: bench.sh [MESSAGES]    default: 10000; fewer for a quick look, which
#                               changes no document
set -eu
cd "$(dirname "$0")/.."
./scripts/install-test-deps.sh test bench
go=${GO:-go}

args=
[ $# -gt 0 ] || args=-update
# shellcheck disable=SC2086 # one argument or none
PEC_INGEST_BENCH=1 PEC_INGEST_BENCH_MESSAGES=${1:-10000} PEC_INGEST_REAL=1 \
	"$go" test -v -count=1 -timeout 60m ./internal/bench $args

"$go" test -run '^$' -bench . -benchmem -count "${COUNT:-3}" ./internal/pec ./internal/submission ./internal/vault
./scripts/bench-get.sh
