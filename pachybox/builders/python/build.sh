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

list=requirements.txt
[ -f "$pfs/source/$list" ] || list=.pachybox/requirements.txt
if [ ! -f "$pfs/source/$list" ] || ! grep -Eqv '^[[:space:]]*(#|$)' "$pfs/source/$list"; then
    echo "no packages are required"
    exit 0
fi

# What is built of the source itself (./library) is built in a copy: builders write beside what they
# build. It is installed to stay: with --target nothing can be left where it is (-e).
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -RL "$pfs/source" "$work/source"
chmod -R u+w "$work/source"
cd "$work/source"
sed -E 's/^[[:space:]]*(-e|--editable)[[:space:]=]+//' "$pfs/source/$list" >"$list"

pip=$python
if ! "$python" -m pip --version >/dev/null 2>&1; then # as in Debian without python3-pip
    if ! "$python" -m venv "$work/tools" >/dev/null 2>&1; then
        echo "$python has no pip: install it (python3-pip, or python3-venv)" >&2
        exit 127
    fi
    pip=$work/tools/bin/python
fi
mkdir "$site"
PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 \
    "$pip" -m pip install --no-input --no-compile --no-warn-conflicts --no-warn-script-location \
    --progress-bar off --target "$site" --requirement "$list"
# Compiled files that are valid whatever the times of their sources are; what is no Python of this
# version does not compile, and need not.
"$python" -m compileall -q --invalidation-mode unchecked-hash "$site" >/dev/null || :
