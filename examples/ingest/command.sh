#!/bin/sh
# A program as a source: each line it prints is a record. Started again it is told the last marker that was
# committed, and goes on after it. Needs a running box:
#
#   sh examples/ingest/command.sh
set -eu

pachybox create repo ticks
pachybox create ingest -f - <<'EOI'
name: ticks
to: ticks@master
command:
  # ${PACHYBOX_MARKER:-0} is the "n" of the last record that is committed, 0 at first.
  cmd:
    - sh
    - -c
    - n=${PACHYBOX_MARKER:-0}; while sleep 0.05; do n=$((n + 1)); echo "{\"n\":$n}"; done
  format: jsonl
  marker: n
  path: /{batch}.jsonl
  group: {time: 300ms}
EOI

lines() { pachybox get file 'ticks@master:/*' 2> /dev/null | grep -c . || true; }
until [ "$(lines)" -ge 3 ]; do sleep 0.1; done
pachybox pause ingest ticks # the program ends
before=$(lines)
pachybox resume ingest ticks # and goes on after the last that is committed
until [ "$(lines)" -gt "$before" ]; do sleep 0.1; done
pachybox pause ingest ticks
pachybox get file 'ticks@master:/*' | sed 's/[^0-9]//g' | awk '$1 != NR {exit 1}'
echo "every number is there once"
