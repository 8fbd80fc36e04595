#!/usr/bin/env bash
# Breaks everything around the program, in the long form: every row of
# docs/reliability.md that has one. On two quiet cores it takes about an hour and a half.
#
#   scripts/chaos.sh               all
#   scripts/chaos.sh soak links    these rows
#   scripts/chaos.sh --list        their names
#
# It says what begins and how it ended. The output of a row is kept in
# dist/chaos/ROW.log, the table in dist/chaos/results.md. Interrupted, it goes on
# where it stopped: rows that have passed with the same sources are not repeated,
# unless they are named. JOBS rows run at once (2), those marked "alone" after
# all others. FUZZTIME is for each fuzz target (60s).
set -uo pipefail
cd "$(dirname "$0")/.."

# row, packages, tests, alone or not
rows='
links        ./cmd/ingest       ^TestChaosLinks$
soak         ./internal/ingest  ^TestChaosSoak$
kills        ./cmd/ingest       ^TestChaosKill$
answers      ./cmd/ingest       ^TestChaosAnswers$
steady       ./cmd/ingest       ^TestChaosSteady$
power        ./cmd/ingest       ^TestChaosPower$
kill-points  ./cmd/ingest       ^(TestKill|TestLoopKilled|TestDeadlyMessage)$
lies         ./cmd/ingest       ^(TestChaosLies|TestChaosUnderfoot)$
connection   ./internal/inbox   ^(TestConnectionFails|TestTooSlow|TestIdleIsRenewed)$
clock        ./internal/ingest  ^TestChaosClock
vault        ./internal/vault   ^(TestKilled|TestDiskFull)$
disk         ./cmd/ingest       ^(TestChaosDisk|TestDiskFull|TestChaosReadOnly|TestChaosDescriptors)$
restart      ./cmd/ingest       ^TestRun$
memory       ./cmd/ingest       ^(TestChaosMemory|TestChaosOffers)$      alone
flood        ./cmd/ingest       ^(TestChaosFlood|TestManyLetters)$       alone
many         ./cmd/ingest       ^TestChaosMany$                          alone
fuzz         -                  -                                        alone
'
export PEC_INGEST_CHAOS=long PEC_INGEST_REAL=1
go="${GO:-go}" jobs="${JOBS:-2}" fuzztime="${FUZZTIME:-60s}"
out=dist/chaos
mkdir -p "$out"

if [ "${1:-}" = --list ]; then
  awk 'NF' <<<"$rows"
  exit
fi
# The state of the sources, changes that are not committed included.
sources=$( (git rev-parse HEAD; git diff HEAD; git status --porcelain) 2>/dev/null | sha256sum | cut -c1-16)
names=$(awk 'NF { print $1 }' <<<"$rows")
for want in "$@"; do
  grep -qx -- "$want" <<<"$names" || { echo "chaos.sh: there is no row $want; --list shows them" >&2; exit 2; }
  rm -f "$out/$want.done"
done

run() { # row packages tests: one row, into its files
  local begun=$SECONDS rc
  if [ "$1" = fuzz ]; then
    GO="$go" ./scripts/fuzz.sh "$fuzztime" >"$out/$1.log" 2>&1
  else
    "$go" test -count=1 -timeout 4h -parallel 4 -v -run "$3" "$2" >"$out/$1.log" 2>&1
  fi
  rc=$?
  # A pattern that matches nothing is a failure, and so is a skipped row.
  if [ $rc = 0 ] && [ "$1" != fuzz ] && ! grep -q '^--- PASS' "$out/$1.log"; then
    rc=1
  fi
  echo "$sources $rc $((SECONDS - begun))" >"$out/$1.done"
  if [ $rc = 0 ]; then
    echo "$(date +%T) passed  $1 ($((SECONDS - begun)) s)"
  else
    echo "$(date +%T) FAILED  $1: $out/$1.log"
    grep -E '^ *(--- FAIL|panic:|failed:)' "$out/$1.log" | head -5
  fi
}

stop() { # the rows that run, and what they have started
  trap - INT TERM
  for job in $(jobs -rp); do
    pkill -TERM -P "$job"
    kill "$job" 2>/dev/null
  done
  exit 130
}
trap stop INT TERM
each() { # alone or not: the rows of that kind
  local name packages tests kind
  while read -r name packages tests kind; do
    [ -n "$name" ] && [ "$kind" = "$1" ] || continue
    [ $# -lt 3 ] || grep -qx -- "$name" <<<"$(printf '%s\n' "${@:3}")" || continue
    if [ -e "$out/$name.done" ] && read -r was rc took <"$out/$name.done" && [ "$was $rc" = "$sources 0" ]; then
      echo "$(date +%T) passed  $name (before, $took s)"
      continue
    fi
    while [ "$(jobs -rp | wc -l)" -ge "$2" ]; do wait -n; done
    echo "$(date +%T) begins  $name"
    run "$name" "$packages" "$tests" &
  done <<<"$rows"
  wait
}
each "" "$jobs" "$@"
each alone 1 "$@"

{
  echo "| row | result | seconds | what was said |"
  echo "|---|---|---|---|"
  for name in $names; do
    [ -e "$out/$name.done" ] || continue
    read -r was rc took <"$out/$name.done"
    result=passed
    [ "$rc" = 0 ] || result="**failed**"
    [ "$was" = "$sources" ] || result="$result, with other sources"
    said=$(sed -nE 's/^ +[a-z_]+_test\.go:[0-9]+: (.*(seed|came|killed|files|messages|VmHWM|MiB|rounds|goroutines|within|clients|s after).*)$/\1/p' "$out/$name.log" | head -6 | tr '|\n' '/;' | sed 's/;$//; s/;/; /g')
    echo "| $name | $result | $took | $said |"
  done
} >"$out/results.md"
cat "$out/results.md"
! grep -q 'failed\*\*' "$out/results.md"
