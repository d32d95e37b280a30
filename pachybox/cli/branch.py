"""Commands on branches."""

from __future__ import annotations

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, listed, many, project, records, whole
from pachybox.client.repos import Branches
from pachybox.client.values import BranchInfo, Json
from pachybox.errors import InvalidArgument, NotFound


def trigger_text(trigger: Json) -> str:
    """A trigger in words: ``master on Size(1MB) or Commits(3)``."""
    if not trigger.get("branch"):
        return ""
    names = {"rateLimitSpec": "Rate", "cronSpec": "Cron", "size": "Size", "commits": "Commits"}
    parts = [f"{name}({trigger[key]})" for key, name in names.items() if trigger.get(key)]
    return f"{trigger['branch']} on {(' and ' if trigger.get('all') else ' or ').join(parts)}"


def _create(app: App, args: Args) -> None:
    trigger: Json = {
        "branch": args.trigger,
        "cron_spec": args.trigger_cron,
        "rate_limit_spec": args.trigger_rate,
        "size": args.trigger_size,
        "commits": str(args.trigger_commits) if args.trigger_commits else None,
        "all": args.trigger_all or None,
    }
    trigger = {key: value for key, value in trigger.items() if value is not None}
    if trigger and not args.trigger:
        raise InvalidArgument("a trigger needs a branch to watch", "add --trigger BRANCH")
    app.box(Branches).create_branch(
        args.branch,
        head=args.head,
        provenance=listed(args.provenance),
        trigger=trigger or None,
    )


def _inspect(app: App, args: Args) -> None:
    info = app.box(Branches).inspect_branch(args.branch)
    app.output.fields(
        info,
        [
            ("Name", str(info)),
            ("Head Commit", f"{info.repo}@{info.head}" if info.head else ""),
            ("Provenance", ", ".join(info.direct_provenance)),
            ("Trigger", trigger_text(info.trigger)),
            ("Keep", info.metadata.get("retention", "")),
            ("S3 Window", info.metadata.get("s3-window", "")),
        ],
    )


def _list(app: App, args: Args) -> None:
    found = list(app.box(Branches).list_branch(args.repo))
    triggers = any(info.trigger for info in found)

    def row(info: BranchInfo) -> tuple[str, ...]:
        cells = (info.name, info.head or "-")
        return (*cells, trigger_text(info.trigger) or "-") if triggers else cells

    app.output.records(
        found, ("BRANCH", "HEAD", "TRIGGER") if triggers else ("BRANCH", "HEAD"), row
    )


def _update(app: App, args: Args) -> None:
    from pachybox.client.metadata import Metadata

    wanted = {
        key: value
        for key, value in (("s3-window", args.s3_window), ("retention", args.keep))
        if value is not None
    }
    if not wanted:
        raise InvalidArgument("there is nothing to update", "add --keep or --s3-window")
    box = app.box(Metadata)
    for key, value in wanted.items():
        if value != "off":
            box.edit_metadata("branch", args.branch, edit={key: value})
            continue
        try:
            box.edit_metadata("branch", args.branch, delete=(key,))
        except NotFound as e:
            if "metadata key" not in e.message:  # off already
                raise


def _delete(app: App, args: Args) -> None:
    app.box(Branches).delete_branch(args.branch, force=args.force)


def _named(parser: Parser) -> None:
    parser.add_argument("branch", metavar="REPO@BRANCH")
    project(parser)


def _created(parser: Parser) -> None:
    _named(parser)
    parser.add_argument("--head", metavar="REF", help="the commit or branch it points to")
    many(parser, "-p", "--provenance", metavar="REPO@BRANCH", help="a branch this one is made from")
    parser.add_argument("--trigger", metavar="BRANCH", help="move to the head of BRANCH when ...")
    parser.add_argument("--trigger-size", metavar="SIZE", help="... that much data came (1MB)")
    parser.add_argument(
        "--trigger-commits", metavar="N", type=whole, help="... that many commits came"
    )
    parser.add_argument("--trigger-cron", metavar="SPEC", help="... on this schedule")
    parser.add_argument(
        "--trigger-rate", metavar="SPEC", help="... a commit came and this schedule had a tick"
    )
    flag(parser, "--trigger-all", help="when all conditions hold, not any")


def _updated(parser: Parser) -> None:
    _named(parser)
    parser.add_argument(
        "--s3-window",
        metavar="TIME",
        help="writes by S3 that are no further apart than this (2s) make one commit together; "
        "off: each makes its own",
    )
    parser.add_argument(
        "--keep",
        metavar="RULES",
        help='squash old commits: "last 100", "for 30d", "under 50GB", several with commas; '
        "all: none of them, whatever the rules upstream; off: no rule",
    )


def _shown(parser: Parser) -> None:
    _named(parser)
    records(parser)


def _listed(parser: Parser) -> None:
    parser.add_argument("repo", metavar="REPO")
    project(parser)
    records(parser)


def _deleted(parser: Parser) -> None:
    _named(parser)
    flag(parser, "-f", "--force", help="also when other branches are made from it")


COMMANDS = {
    "create branch": Command(
        _created,
        _create,
        (
            "create branch images@staging",
            "create branch images@master --head staging",
            "create branch images@nightly --trigger master --trigger-cron '@daily'",
        ),
        "The provenance becomes exactly what is given, none when nothing is; without --head the\n"
        "branch stays where it is.",
    ),
    "update branch": Command(
        _updated,
        _update,
        (
            "update branch images@master --s3-window 2s",
            "update branch images@master --s3-window off",
            'update branch events@master --keep "last 1000, for 7d, under 50GB"',
            "update branch report@master --keep all",
        ),
        "With a window the first write by S3 opens a commit, those that follow go into it, and it\n"
        "is finished when none has come for that long, or after 30 times that (and a minute).\n"
        "Each write is durable, and seen by S3, when it is answered.\n\n"
        "With --keep the commits made on the branch that no rule keeps are squashed by\n"
        "themselves: their data stay as far as the next commit has them. A commit is kept when\n"
        "it is among the last N or is younger than the time given; either will do. The size\n"
        "is a bound on all that is kept so, and the oldest go until it holds. What was made\n"
        "from a commit goes with it, but where the branch of that has rules of its own which\n"
        "keep it. Heads, what they were made from, and what a job still needs always stay.",
    ),
    "inspect branch": Command(_shown, _inspect, ("inspect branch images@master",)),
    "list branch": Command(_listed, _list, ("list branch images",)),
    "delete branch": Command(_deleted, _delete, ("delete branch images@staging",)),
}
