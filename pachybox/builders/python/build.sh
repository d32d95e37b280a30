# Makes the environment of Python source: packages ready to import, in /pfs/out/site, and the name
# of the interpreter they are for, in /pfs/out/python.
set -eu
pfs=${PFS:-/pfs}
site=$pfs/out/site

python=$(command -v python3 || command -v python) || {
    echo "there is no python3 here: install it, or name an image that has it in transform.image" >&2
    exit 127
}
python=$("$python" -c 'import sys; print(sys.executable)')
echo "$python" >"$pfs/out/python"

list=$pfs/source/requirements.txt
[ -f "$list" ] || list=$pfs/source/.pachybox/requirements.txt
if [ ! -f "$list" ] || ! grep -Eqv '^[[:space:]]*(#|$)' "$list"; then
    echo "no packages are required"
    exit 0
fi

pip=$python
tools=
if ! "$python" -m pip --version >/dev/null 2>&1; then # as in Debian without python3-pip
    tools=$(mktemp -d)
    trap 'rm -rf "$tools"' EXIT
    if ! "$python" -m venv "$tools" >/dev/null 2>&1; then
        echo "$python has no pip: install it (python3-pip, or python3-venv)" >&2
        exit 127
    fi
    pip=$tools/bin/python
fi
mkdir "$site"
cd "$pfs/source"
PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 \
    "$pip" -m pip install --no-input --no-compile --no-warn-conflicts --no-warn-script-location \
    --progress-bar off --target "$site" --requirement "$list"
# Compiled files that are valid whatever the times of their sources are; what is no Python of this
# version does not compile, and need not.
"$python" -m compileall -q --invalidation-mode unchecked-hash "$site" >/dev/null || :
