"""``pachybox --help``, ``pachybox help COMMAND`` and the topics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pachybox.cli.table import SECTIONS, commands

if TYPE_CHECKING:
    from pachybox.cli.app import App
    from pachybox.cli.command import Args, Command, Parser

_TOPICS = {
    "repo": """\
A repo holds the history of one set of files. Its branches are movable names for commits; a
pipeline's output repo has the pipeline's name.

    pachybox create repo images
    pachybox list repo
""",
    "branch": """\
A branch is a movable name for a commit. New commits move it; "create branch R@B --head REF" moves
it by hand, which starts the pipelines that read it. A branch can follow another one by a trigger.

    pachybox create branch images@master --head staging
""",
    "commit": """\
A commit is one state of a repo, made atomically and never changed. Its id is shared by all commits
that follow from it, so one id is one run through the pipelines.

    images@master      the head of a branch          images@master^     its parent (also ~, ^2)
    images@ID          by id, 8 digits or more       images@master.1    the first of its line

    pachybox put file images@master:/a.png -f a.png     one call, one commit
    pachybox start commit images@master                 or several calls, one commit:
    pachybox finish commit images@master
""",
    "file": """\
Files are written REPO@REF:PATH. A path with * ? [ ] { } or ( ) is a pattern, unless a file has that
very name: * stays within a directory, ** does not, {a,b} is either, @(a|b) is either and captured.

    pachybox put file -r images@master:/ -f photos/
    pachybox glob file 'images@master:/**.png'
    pachybox get file -r images@master:/ -o copy
""",
    "ingest": """\
An ingest source brings data in by itself and commits it with the place it has come to, so that
nothing is lost or doubled when it is killed. A source of its own is a folder that is watched
(watch), records posted over HTTP (push) or the output of a program (command); its spec is JSON or
YAML. Those of pipelines are cron inputs, named by the repo of their ticks, and spouts, named by
their pipelines.

    pachybox watch /data/in drops@master      a folder, without a spec
    pachybox create ingest -f drops.yaml
    pachybox list ingest                      state, rate, what waits, and why
    pachybox logs --ingest drops -f
""",
    "pipeline": """\
A pipeline reads files of repos, runs a command on each piece of them (a datum) and writes files to
its own repo. Its spec is JSON or YAML. A new commit in what it reads starts a job by itself.

    pachybox create pipeline -f edges.json
    pachybox list pipeline
    pachybox logs -p edges -f
""",
    "job": """\
A job is one run of a pipeline: PIPELINE@ID, where ID is that of the commit that caused it and of
its output commit. A bare ID means all jobs of that run.

    pachybox list job -p edges
    pachybox wait job ID
""",
    "datum": """\
A datum is the piece of the input that one run of the command sees: what one match of the glob
holds. Datums that succeeded before on the same files are skipped.

    pachybox list datum edges@ID
    pachybox logs --job edges@ID --datum DATUM
""",
    "project": """\
A project is a namespace of repos and pipelines. The first one is "default". Names of other
projects are written PROJECT/REPO, or with --project.

    pachybox create project genomes
    pachybox config update context --project genomes
""",
    "transaction": """\
Between "start transaction" and "finish transaction" changes to repos, branches, commits and
pipelines are queued, then done atomically; what follows downstream is one run.

    pachybox start transaction
    pachybox start commit a@master
    pachybox start commit b@master
    pachybox finish transaction
""",
    "environment": """\
PACHYBOX_HOME     the data directory (default $XDG_DATA_HOME/pachybox, ~/.local/share/pachybox)
PACHYBOX_ADDRESS  where the box is: a socket's path, http://host:port or https://host:port
PACHYBOX_TOKEN    the token to send
PACHYBOX_CA       a file of the certificates an https box is known by
PACHYBOX_<KEY>    a setting of the box, as PACHYBOX_RUNNER; see: pachybox config explain
PACHYBOX_CONTEXT  the context to use instead of the active one
XDG_CONFIG_HOME   where contexts are kept: pachybox/config.json
NO_COLOR          no colours; EDITOR, VISUAL for edit pipeline

PACHYBOX_ADDRESS goes before PACHYBOX_HOME, and both before the context.
Exit status: 0 done, 1 refused or failed, 2 not understood, 130 interrupted.
""",
}


def overview() -> str:
    """All commands by section."""
    width = max(map(len, commands()))
    out = ["pachybox: versioned data and pipelines for one machine\n\n"]
    out.append("usage: pachybox COMMAND [ARGUMENTS]; COMMAND --help says more\n")
    for section, parts in SECTIONS.items():
        out.append(f"\n{section}\n")
        for _module, found in parts:
            out += [f"  {name.ljust(width)}  {summary}\n" for name, summary in found.items()]
    out.append(f"\nTopics (pachybox help TOPIC): {', '.join(sorted(_TOPICS))}\n")
    out.append("Begin: pachybox up --detach; pachybox create repo data; pachybox status\n")
    out.append("In a terminal pachybox alone opens all of this as screens: pachybox tui\n")
    return "".join(out)


def topic(name: str) -> str:
    """A topic's text with its commands."""
    width = max(map(len, commands()))
    related = [
        f"  {command.ljust(width)}  {summary}\n"
        for command, (_module, summary) in commands().items()
        if command.split()[-1].removesuffix("V2") == name
    ]
    return _TOPICS[name] + ("\nCommands:\n" + "".join(related) if related else "")


def group(word: str) -> str:
    """The commands that begin with ``word``; "" when there are none."""
    found = {name: known[1] for name, known in commands().items() if name.startswith(f"{word} ")}
    width = max(map(len, found), default=0)
    lines = [f"  {name.ljust(width)}  {summary}\n" for name, summary in found.items()]
    return f"usage: pachybox {word} ...\n\n{''.join(lines)}" if lines else ""


def _run(app: App, args: Args) -> int:
    from pachybox.cli.app import find, run

    words = list(args.words)
    if not words:
        app.output.out.write(overview())
        return 0
    if len(words) == 1 and words[0] in _TOPICS:
        app.output.out.write(topic(words[0]))
        return 0
    name, rest = find(words, commands())
    if not name and len(words) == 1 and (found := group(words[0])):
        app.output.out.write(found)
        return 0
    return run([*name.split(), "--help"]) if name and not rest else run(words)


def _arguments(parser: Parser) -> None:
    parser.add_argument("words", metavar="COMMAND | TOPIC", nargs="*")


def __getattr__(name: str) -> dict[str, Command]:
    """``COMMANDS``, made when asked for: the overview alone does not need argparse."""
    if name != "COMMANDS":
        raise AttributeError(name)
    from pachybox.cli.command import Command

    return {"help": Command(_arguments, _run, ("help put file", "help commit"))}
