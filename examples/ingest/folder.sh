#!/bin/sh
# A watched folder in front of a pipeline: what is put into the folder is counted.
# Needs a running box (pachybox up --detach):
#
#   sh examples/ingest/folder.sh
set -eu
here=$(dirname "$0")
in=${1:-$(mktemp -d)}

pachybox create repo drops
pachybox create pipeline -f "$here/words.yaml"
pachybox create ingest -f - <<EOI
name: drops
description: text files that somebody puts into a folder
to: drops@master
watch:
  path: $in
  pattern: "**/*.txt"
  settle: 1s # taken once it has not changed for so long
EOI

echo "to be or not to be" > "$in/hamlet.txt"
until pachybox inspect file drops@master:/hamlet.txt > /dev/null 2>&1; do sleep 0.1; done
pachybox wait commit drops-words@master > /dev/null
pachybox get file drops-words@master:/hamlet.txt
pachybox list ingest
