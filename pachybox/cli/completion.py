"""``completion``: the scripts of the shells. They ask ``pachybox __complete`` for words."""

from __future__ import annotations

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser

_BASH = """\
# pachybox completion for bash: eval "$(pachybox completion bash)"
_pachybox() {
    local line=${COMP_LINE:0:COMP_POINT} cur words
    words=($line); cur=
    [[ $line == *[[:space:]] ]] || { cur=${words[-1]}; unset 'words[-1]'; }
    local IFS=$'\\n'
    COMPREPLY=($(pachybox __complete "${words[@]:1}" -- "$cur" 2>/dev/null))
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[@:/] ]] && compopt -o nospace
    local i word=${COMP_WORDS[COMP_CWORD]}
    local cut=${cur%"$word"}
    [[ $word == [:@] ]] && cut=$cur
    for i in "${!COMPREPLY[@]}"; do COMPREPLY[i]=${COMPREPLY[i]#"$cut"}; done
    [[ ${#COMPREPLY[@]} -eq 0 ]] && compopt -o default
}
complete -F _pachybox pachybox
"""
_ZSH = """\
#compdef pachybox
# pachybox completion for zsh: eval "$(pachybox completion zsh)"
_pachybox() {
    local -a found before
    before=("${(@)words[2,CURRENT-1]}")
    found=(${(f)"$(pachybox __complete "$before[@]" -- "$words[CURRENT]" 2>/dev/null)"})
    if (( ${#found} )); then compadd -Q -S '' -a found; else _files; fi
}
compdef _pachybox pachybox
"""
_FISH = """\
# pachybox completion for fish: pachybox completion fish | source
function __pachybox_complete
    set -l words (commandline -opc)
    pachybox __complete $words[2..-1] -- (commandline -ct) 2>/dev/null
end
complete -c pachybox -a '(__pachybox_complete)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def _run(app: App, args: Args) -> None:
    app.output.out.write(SCRIPTS[args.shell])


def _arguments(parser: Parser) -> None:
    parser.add_argument("shell", choices=tuple(SCRIPTS))


COMMANDS = {
    "completion": Command(
        _arguments,
        _run,
        (
            "completion bash > ~/.local/share/bash-completion/completions/pachybox",
            'completion zsh > "${fpath[1]}/_pachybox"',
            "completion fish > ~/.config/fish/completions/pachybox.fish",
        ),
        "Completes commands and flags, and the names of repos, branches, commits, files,\n"
        "pipelines, jobs and ingest sources as the box has them.",
    )
}
