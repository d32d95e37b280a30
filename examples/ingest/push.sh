#!/bin/sh
# Records posted over HTTP with curl. Needs a running box; $PACHYBOX_URL says where, and with a token
# add -H "authorization: Bearer $PACHYBOX_TOKEN" to each call:
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

post() { # TYPE BODY
  curl -sS --fail-with-body "$url/ingest/events" -H "content-type: $1" --data-binary "$2"
}
# One record; several as an array, or as lines. The answer says that they are safe on disk.
post application/json '{"door": 3, "open": true}'
post application/json '[{"door": 1, "open": true}, {"door": 2, "open": true}]'
post application/x-ndjson '{"door": 3, "open": false}
{"door": 2, "open": false}'

events() { pachybox get file 'events@master:/**.jsonl' 2> /dev/null; }
until [ "$(events | wc -l)" -eq 5 ]; do sleep 0.1; done
events
