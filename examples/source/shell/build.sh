# /pfs/out of the build is /pfs/build for main.sh.
alphabet=abcdefghijklmnopqrstuvwxyz
echo "$alphabet" >/pfs/out/from
echo "$alphabet" | sed 's/\(.\{13\}\)\(.*\)/\2\1/' >/pfs/out/to
