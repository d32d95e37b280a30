# Runs main.sh of the source; a run.sh in the source takes the place of this script.
set -eu
cd "${PFS:-/pfs}/source"
exec sh main.sh "$@"
