#!/bin/sh
# Records posted over HTTP with curl. Needs a running box; $PACHYBOX_URL says where, and with a token
# add -H "authorization: Bearer $PACHYBOX_TOKEN":
#
#   sh examples/ingest/push.sh
set -eu
url=${PACHYBOX_URL:-http://localhost:30600}

pachybox create repo events
pachybox create ingest -f - <<EOI
name: events
to: events@master
push:
  path: /{date}/{batch}.jsonl
  group: {records: 1000, time: 300ms}
EOI

# One record, and two as lines. The answer says that they are safe on disk.
curl -sS --fail-with-body "$url/ingest/events" -d '{"door": 3, "open": true}'
printf '{"door": 1, "open": true}\n{"door": 3, "open": false}\n' |
  curl -sS --fail-with-body "$url/ingest/events" --data-binary @-

until pachybox get file 'events@master:/**.jsonl' 2> /dev/null | grep -c . | grep -qx 3; do sleep 0.1; done
pachybox get file 'events@master:/**.jsonl'
