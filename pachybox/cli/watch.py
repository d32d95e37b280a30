"""The command that has the box watch a folder."""

# ruff: noqa: PTH100, PTH110, PTH112, PTH119
from __future__ import annotations

import os
import re

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, project
from pachybox.client.ingests import Ingests
from pachybox.client.values import Json
from pachybox.errors import InvalidArgument, NotFound, Refused

_TEXTS = ("pattern", "settle", "batch", "prefix", "done", "poll", "poll_interval")


def _watch(app: App, args: Args) -> None:
    box = app.box(Ingests)
    if not box.address.local:
        raise Refused(
            f"the box at {box.address} is not this machine's own: its folders are others",
            "run this where the box runs, over its socket (unset PACHYBOX_ADDRESS)",
        )
    folder = os.path.abspath(args.dir)
    if not os.path.isdir(folder):
        there = "is not a directory" if os.path.exists(folder) else "does not exist"
        raise InvalidArgument(f"{folder} {there}", "make it, or name another folder")
    spec: Json = {"path": folder}
    spec |= {name: getattr(args, name) for name in _TEXTS if getattr(args, name) is not None}
    if args.move_to:
        spec["move_to"] = os.path.abspath(args.move_to)
    spec |= {name: True for name in ("delete_after", "mirror", "all_names") if getattr(args, name)}
    name = args.name or _named(folder, args.to)
    update = args.update or _is_same(box, name, folder, args.to)
    made = box.create_ingest(
        {"name": name, "to": args.to, "watch": spec}, source="watch", update=update
    )
    from pachybox.cli.output import note

    for one in made:
        for warning in one.warnings:
            note(f"warning: {warning}")
        print(one.name)
        note(f"the box watches {folder} from now on; see: pachybox inspect ingest {one.name}")


def _is_same(box: Ingests, name: str, folder: str, to: str) -> bool:
    """Whether the source is there, watches this folder and writes to this branch. Raises Refused
    for another."""
    from pachybox.model.refs import parse_branch_ref

    try:
        found = box.inspect_ingest(name)
    except NotFound:
        return False
    watched = (found.spec.get("watch") or {}).get("path") if found.kind == "watch" else ""
    if watched == folder and parse_branch_ref(found.to) == parse_branch_ref(to, box.project):
        return True
    what = f"watches {watched} for {found.to}" if watched else f"is a {found.kind}"
    raise Refused(
        f"ingest {name} is there, and {what}",
        "name this one otherwise with --name" + (", or add --update" if watched else ""),
    )


def _named(folder: str, to: str) -> str:
    """A name of the folder's and the repo's."""
    repo = to.partition("@")[0].rpartition("/")[2]
    text = f"{os.path.basename(folder) or 'root'}-{repo}"
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:60] or "watch"


def _watched(parser: Parser) -> None:
    parser.add_argument("dir", metavar="DIR", help="the folder that files come to")
    parser.add_argument("to", metavar="REPO@BRANCH", help="where they go")
    parser.add_argument("--name", metavar="NAME", help="of the source (default: DIR-REPO)")
    parser.add_argument(
        "--pattern", metavar="GLOB", help="which files, by their path from DIR (**.csv)"
    )
    parser.add_argument(
        "--settle", metavar="TIME", help="a file is whole when it rested so long (2s)"
    )
    parser.add_argument(
        "--batch", metavar="TIME", help="at most so long a whole file waits for others (5s)"
    )
    parser.add_argument("--prefix", metavar="PATH", help="the directory of the repo they go to (/)")
    parser.add_argument(
        "--done", metavar="SUFFIX", help="a file is whole when one of its name and this is there"
    )
    flag(parser, "--delete-after", help="delete files that are committed")
    parser.add_argument("--move-to", metavar="DIR", help="move files that are committed there")
    flag(parser, "--mirror", help="what is deleted in DIR is deleted in the repo")
    flag(parser, "--all-names", help="also files like .x, x~, x.tmp and x.part")
    parser.add_argument(
        "--poll", choices=("auto", "always", "never"), help="look by the clock (auto: if remote)"
    )
    parser.add_argument("--poll-interval", metavar="TIME", help="how often it looks then (1s)")
    flag(parser, "--update", help="change the source of this name, whatever it watches")
    project(parser)


COMMANDS = {
    "watch": Command(
        _watched,
        _watch,
        (
            "watch /data/in raw@master",
            "watch ./drop raw@master --pattern '**.csv' --move-to ./taken",
            "watch /mnt/scans raw@master --done .ok --delete-after",
            "watch ./tree raw@master --prefix /tree --mirror",
        ),
        "Makes a source of the box and returns: the box watches from then on, also after it was\n"
        "restarted, until: pachybox delete ingest NAME. The same again changes nothing. Files\n"
        "enter once, when they are whole, and again when they have changed; those that become\n"
        "whole together become one commit. Links are not followed.",
    ),
}
