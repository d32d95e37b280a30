for text in /pfs/texts/*; do
    tr "$(cat /pfs/build/from)" "$(cat /pfs/build/to)" <"$text" >"/pfs/out/${text##*/}"
done
