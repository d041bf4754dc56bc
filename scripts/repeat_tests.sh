#!/bin/sh
# Run the whole suite several times in a row and stop at the first failure.
# Usage: sh scripts/repeat_tests.sh RUNS [BUSY]; BUSY processes keep a processor busy meanwhile.
set -u
runs=$1 busy=${2:-0} busy_pids="" done=0
trap '[ -z "$busy_pids" ] || kill $busy_pids' EXIT
trap 'exit 130' INT TERM
for _ in $(seq "$busy"); do
    sh -c 'while kill -0 "$1"; do :; done' busy $$ 2>/dev/null &
    busy_pids="$busy_pids $!"
done
while [ "$done" -lt "$runs" ]; do
    if ! "${MAKE:-make}" --no-print-directory test; then
        echo "test run $((done + 1)) of $runs failed, $busy busy processes beside" >&2
        exit 1
    fi
    done=$((done + 1))
    echo "$done of $runs test runs passed, $busy busy processes beside"
done
