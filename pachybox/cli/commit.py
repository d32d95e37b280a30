"""Commands on commits: opening, closing, showing, waiting."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from pachybox.cli.app import App
from pachybox.cli.command import (
    Args,
    Command,
    Parser,
    flag,
    listed,
    many,
    project,
    records,
    seconds,
    whole,
)
from pachybox.cli.output import Painted, note, size
from pachybox.client.commits import Commits
from pachybox.client.names import is_id
from pachybox.client.values import CommitInfo
from pachybox.errors import NotFound

HEADER = ("REPO", "BRANCH", "COMMIT", "FINISHED", "SIZE", "PROGRESS", "DESCRIPTION")
_LOOKED_UP = 100  # rows whose PROGRESS is asked for; each costs a call


class Progress:
    """How many of the commits that follow from one are finished; a run is asked for once."""

    def __init__(self, box: Commits) -> None:
        self._box = box
        self._runs: dict[str, list[CommitInfo]] = {}

    def of(self, info: CommitInfo) -> str:
        """``done/all`` of what follows; "-" when nothing does."""
        if info.error:
            return Painted.of("failed", "red")
        if info.id not in self._runs:
            if len(self._runs) >= _LOOKED_UP:
                return "-"
            try:
                self._runs[info.id] = list(self._box.inspect_commit_set(info.id))
            except NotFound:  # deleted meanwhile
                self._runs[info.id] = []
        later = following(info, self._runs[info.id])
        done = sum(1 for c in later if c.finished)
        return f"{done}/{len(later)}" if later else "-"


def following(info: CommitInfo, run: Iterable[CommitInfo]) -> list[CommitInfo]:
    """The commits of a run that were made from ``info``, directly or not."""
    left, found, names = list(run), list[CommitInfo](), {str(info)}
    while new := [c for c in left if names.intersection(c.direct_provenance)]:
        found += new
        names.update(map(str, new))
        left = [c for c in left if c not in new]
    return found


def show(app: App, box: Commits, found: Iterable[CommitInfo], *, live: bool = False) -> None:
    """Commits as a table or as records."""
    out, progress = app.output, Progress(box)

    def row(info: CommitInfo) -> tuple[str, ...]:
        return (
            info.repo,
            info.branch or "-",
            info.id,
            out.time(info.finished),
            size(info.size_bytes) if info.finished else "-",
            progress.of(info),
            info.description,
        )

    out.records(found, HEADER, row, live=live)


def _start(app: App, args: Args) -> None:
    box = app.box(Commits)
    app.output.line(
        box.start_commit(args.branch, parent=args.parent, description=args.message or "")
    )


def _finish(app: App, args: Args) -> None:
    app.box(Commits).finish_commit(args.commit, description=args.message or "", force=args.force)


def _inspect(app: App, args: Args) -> int:
    box = app.box(Commits)
    if is_id(args.commit):
        show(app, box, box.inspect_commit_set(args.commit))
        return 0
    info, out = box.inspect_commit(args.commit), app.output
    out.fields(
        info,
        [
            ("Commit", str(info)),
            ("Original Branch", info.branch),
            ("Origin", info.origin),
            ("Parent", info.parent),
            ("Description", info.description),
            ("Started", out.time(info.started)),
            ("Finished", out.time(info.finished)),
            ("Error", Painted.of(info.error, "red")),
            ("Size", size(info.size_bytes)),
            ("Provenance", ", ".join(info.direct_provenance)),
            ("Followed by", ", ".join(info.direct_subvenance)),
        ],
    )
    return 0


def _list(app: App, args: Args) -> None:
    box = app.box(Commits)
    if args.repo is None:
        _list_sets(app, box, args)
    elif is_id(args.repo):
        show(app, box, box.inspect_commit_set(args.repo))
    else:
        found = box.list_commit(
            args.repo, start=args.start, number=args.number, all=args.all, origin=args.origin
        )
        show(app, box, found)


def _list_sets(app: App, box: Commits, args: Args) -> None:
    sets = islice(box.list_commit_set(), args.number)
    if args.expand:
        show(app, box, (info for found in sets for info in found.commits))
        return
    out = app.output
    out.records(
        sets,
        ("ID", "SUBCOMMITS", "PROGRESS", "CREATED"),
        lambda found: (
            found.id,
            str(len(found.commits)),
            f"{sum(1 for c in found.commits if c.finished)}/{len(found.commits)}",
            out.time(min((c.started for c in found.commits if c.started), default=None)),
        ),
    )


def finished(infos: Iterable[CommitInfo], failed: list[str]) -> Iterator[CommitInfo]:
    """The same commits; those with an error are noted in ``failed``."""
    for info in infos:
        if info.error:
            failed.append(f"commit {info} finished with an error: {info.error}")
        yield info


def _report(failed: list[str]) -> int:
    for text in failed:
        note(" ".join(text.split()))
    return 1 if failed else 0


def _wait(app: App, args: Args) -> int:
    box = app.box(Commits)
    failed: list[str] = []
    if is_id(args.commit):
        found: Iterable[CommitInfo] = box.inspect_commit_set(args.commit, wait=True)
    else:
        found = (box.wait_commit(c) for c in [args.commit])
    show(app, box, finished(found, failed), live=True)
    return _report(failed)


def _flush(app: App, args: Args) -> int:
    box = app.box(Commits)
    failed: list[str] = []
    found = box.flush_commit(args.commits, listed(args.repos))
    show(app, box, finished(found, failed), live=True)
    return _report(failed)


def _subscribe(app: App, args: Args) -> None:
    box = app.box(Commits)
    start = args.start
    if args.new:
        newest = next(iter(box.list_commit(args.branch, number=1)), None)
        start = newest.id if newest else start
    found: Iterable[CommitInfo] = box.subscribe_commit(
        args.branch, start=start, state=args.state, all=args.all, origin=args.origin
    )
    if args.pipeline:
        spec = f"{args.pipeline}.spec@"
        found = (c for c in found if any(p.startswith(spec) for p in c.direct_provenance))
    show(app, box, found, live=True)


def _find(app: App, args: Args) -> None:
    box, out = app.box(Commits), app.output
    box.transport.timeout_s = args.timeout
    for record in box.find_commit(args.file, limit=args.number):
        if args.json or out.form:
            out.raw(record)
        elif commit := record.get("foundCommit"):
            out.line(commit.get("id", ""))
        out.out.flush()


def _named(parser: Parser) -> None:
    parser.add_argument("commit", metavar="REPO@COMMIT")
    project(parser)


def _messages(parser: Parser) -> None:
    parser.add_argument("-m", "--message", "--description", metavar="TEXT", help="a description")


def _started(parser: Parser) -> None:
    parser.add_argument("branch", metavar="REPO@BRANCH")
    parser.add_argument("-p", "--parent", metavar="REF", help="default: the branch's head")
    _messages(parser)
    project(parser)


def _closed(parser: Parser) -> None:
    _named(parser)
    _messages(parser)
    flag(parser, "-f", "--force", help="also when what it was made from has an error")


def _shown(parser: Parser) -> None:
    _named(parser)
    records(parser)


def _origin(parser: Parser) -> None:
    flag(parser, "--all", help="also those made by pipelines' bookkeeping")
    parser.add_argument("--origin", type=str.upper, choices=("USER", "AUTO", "FSCK"))


def _listed(parser: Parser) -> None:
    parser.add_argument("repo", metavar="REPO[@REF] | ID", nargs="?")
    parser.add_argument("-f", "--from", dest="start", metavar="REF", help="stop before this one")
    parser.add_argument("-n", "--number", type=whole, metavar="N", help="at most N")
    flag(parser, "-x", "--expand", help="without argument: the commits of each run")
    _origin(parser)
    project(parser)
    records(parser)


def _flushed(parser: Parser) -> None:
    parser.add_argument("commits", metavar="REPO@REF", nargs="+")
    many(parser, "-r", "--repos", metavar="REPO", help="only commits of these repos")
    project(parser)
    records(parser)


def _subscribed(parser: Parser) -> None:
    parser.add_argument("branch", metavar="REPO@BRANCH")
    parser.add_argument("--from", dest="start", metavar="REF", help="begin after this one")
    flag(parser, "--new", help="only commits made from now on")
    parser.add_argument("--pipeline", metavar="P", help="only those this pipeline made")
    parser.add_argument(
        "--state",
        type=str.upper,
        default="FINISHED",
        choices=("STARTED", "READY", "FINISHING", "FINISHED"),
        help="print a commit once it is so far (default: finished)",
    )
    _origin(parser)
    project(parser)
    records(parser)


def _found(parser: Parser) -> None:
    parser.add_argument("file", metavar="REPO@REF:PATH")
    parser.add_argument("-n", "--number", "--limit", type=whole, metavar="N", help="at most N")
    flag(parser, "--json", help="as JSON, with how far was searched")
    parser.add_argument("--timeout", type=seconds, metavar="DURATION", help="wait no longer")
    project(parser)


COMMANDS = {
    "start commit": Command(
        _started,
        _start,
        ("start commit images@master", "start commit images@exp -p master -m 'new lens'"),
        "Prints the commit's id. The branch is made when it does not exist.",
    ),
    "finish commit": Command(_closed, _finish, ("finish commit images@master -m 'run 12'",)),
    "inspect commit": Command(
        _shown, _inspect, ("inspect commit images@master^", "inspect commit images@master --raw")
    ),
    "list commit": Command(
        _listed,
        _list,
        ("list commit images@master -n 5", "list commit -x", "list commit ID"),
        "With a bare id the commits of that run; without argument all runs.",
    ),
    "wait commit": Command(
        _shown,
        _wait,
        ("wait commit edges@master",),
        "Exit status 1 when the commit finished with an error.",
    ),
    "flush commit": Command(
        _flushed, _flush, ("flush commit images@master", "flush commit images@master -r montage")
    ),
    "subscribe commit": Command(_subscribed, _subscribe, ("subscribe commit images@master --new",)),
    "find commit": Command(_found, _find, ("find commit images@master:/a.png",)),
}
