#!/bin/sh
# Separate a file on a server: sh example.sh URL FILE QUERY
# With a login: set SEPARATE_LOGIN to name:password. Needs curl; jq is not needed.
set -eu
url=${1%/} file=$2 query=$3
ask() { curl --silent --show-error --fail-with-body ${SEPARATE_LOGIN:+--user "$SEPARATE_LOGIN"} "$@"; }
field() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }

session=$(ask -X POST "$url/session" | field session)
upload=$(ask -H "X-Separate-Session: $session" -F "file=@$file" "$url/upload" | field upload)
job=$(ask -H "X-Separate-Session: $session" -H "Idempotency-Key: $upload-$query" \
    -H "Content-Type: application/json" "$url/jobs" \
    -d "{\"kind\": \"separate\", \"upload\": \"$upload\", \"queries\": [\"$query\"]}" | field id)
# The stream of events ends when the job is over.
ask -N -H "X-Separate-Session: $session" "$url/jobs/$job/events" | grep -o '"state": "[a-z]*"' | uniq
ask -H "X-Separate-Session: $session" "$url/results/zip?jobs=$job" -o result.zip
ask -X DELETE -H "X-Separate-Session: $session" "$url/upload/$upload" >/dev/null
