# Runs main.py of the source, with the packages that were built for it.
set -eu
pfs=${PFS:-/pfs}
python=$(cat "$pfs/build/python")
if [ ! -x "$python" ]; then
    echo "$python, which the packages were built for, is gone: update pipeline --reprocess" >&2
    exit 127
fi
paths=$pfs/build/site
[ ! -d "$pfs/source/src" ] || paths=$pfs/source/src:$paths
export PYTHONPATH="$paths${PYTHONPATH:+:$PYTHONPATH}"
cd "$pfs/source"
exec "$python" main.py "$@"
