#!/bin/sh
# The tour with curl. $PACHYBOX_URL says where the box is; with a token, add
# -H "authorization: Bearer $PACHYBOX_TOKEN" to each call:
#
#   sh examples/clients/tour.sh
set -eu
url=${PACHYBOX_URL:-http://localhost:30600}

call() { # METHOD MESSAGE: --fail-with-body shows what the box said and ends the script
  curl -sS --fail-with-body "$url/api/$1" -d "$2"
}

repo='{"name":"tour-curl","type":"user"}'
master='{"repo":'$repo',"branch":{"repo":'$repo',"name":"master"}}'
output='{"name":"words-curl","type":"user"}'

# A repo, and two files in one commit: a stream of messages, their content in base64.
call pfs_v2.API/CreateRepo '{"repo":'"$repo"',"update":true}' > /dev/null
add() { # PATH TEXT
  printf '{"deleteFile":{"path":"%s"}}\n' "$1"
  printf '{"addFile":{"path":"%s","raw":"%s"}}\n' "$1" "$(printf '%s\n' "$2" | base64)"
}
{
  printf '{"setCommit":%s}\n' "$master"
  add /hamlet 'to be or not to be'
  add /merchant 'the quality of mercy is not strained'
} | curl -sS --fail-with-body "$url/api/pfs_v2.API/ModifyFile" --data-binary @- > /dev/null

# A directory is listed by its address, a file is got by it.
curl -sS --fail-with-body "$url/pfs/default/tour-curl/master/"
curl -sS --fail-with-body "$url/pfs/default/tour-curl/master/hamlet"

# A pipeline: a datum for each file. The commit it makes waits for its job.
call pps_v2.API/CreatePipeline '{
  "pipeline": {"name": "words-curl"},
  "transform": {
    "cmd": ["sh"],
    "stdin": ["for f in /pfs/tour-curl/*; do wc -w < \"$f\" > \"/pfs/out/${f##*/}\"; echo \"counted $f\"; done"]
  },
  "input": {"pfs": {"repo": "tour-curl", "glob": "/*"}},
  "update": true
}' > /dev/null
call pfs_v2.API/InspectCommit \
  '{"commit":{"repo":'"$output"',"branch":{"repo":'"$output"',"name":"master"}},"wait":"FINISHED"}' > /dev/null
call pachybox.v1.API/GetLogs '{"pipeline":{"name":"words-curl"}}' | sed 's/.*"message":"\([^"]*\)".*/log: \1/'

# The same port speaks S3; without a token an object is one plain request.
printf 'by S3: '
curl -sS --fail-with-body "$url/words-curl/hamlet"

for name in hamlet merchant; do
  printf '/%s: ' "$name"
  curl -sS --fail-with-body "$url/pfs/default/words-curl/master/$name"
done
