"""Commands that read, copy and delete files; ``put`` and ``diff`` have modules of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, ignored, project, records, whole
from pachybox.cli.output import size
from pachybox.cli.progress import Bar
from pachybox.client.files import Reading, Writing
from pachybox.client.names import absolute, has_glob, split_file
from pachybox.client.values import FileInfo
from pachybox.errors import InvalidArgument, NotFound

HEADER = ("NAME", "TYPE", "SIZE")


def kind(info: FileInfo) -> str:
    """``dir`` or ``file``."""
    return "dir" if info.is_dir else "file"


def name(info: FileInfo) -> str:
    """The path; a directory's ends in ``/``."""
    return info.path.rstrip("/") + "/" if info.is_dir else info.path


def is_pattern(box: Reading, file: str) -> bool:
    """Whether the path is to be read as a glob: it could be one, and no file is called so."""
    if not has_glob(split_file(file)[2]):
        return False
    try:
        box.inspect_file(file)
    except NotFound:
        return True
    return False


def _get(app: App, args: Args) -> None:
    box = app.box(Reading)
    glob = is_pattern(box, args.file)
    with Bar(
        "get", enabled=not args.no_progress and (args.output or not sys.stdout.isatty())
    ) as bar:
        if args.recursive:
            if not args.output or args.output == "-":
                raise InvalidArgument("-r needs a directory to write to", "add -o DIRECTORY")
            box.get_files(args.file, args.output, glob=glob, progress=bar)
        elif args.retry:
            if not args.output or args.output == "-":
                raise InvalidArgument("--retry needs a file to continue", "add -o FILE")
            with open(args.output, "ab") as file:
                box.save_file(args.file, file, offset=file.tell(), progress=bar)
        elif args.output and args.output != "-":
            target = args.output
            if os.path.isdir(target):  # noqa: PTH112
                base = absolute(split_file(args.file)[2]).rpartition("/")[2]
                target = os.path.join(target, base)  # noqa: PTH118
            box.save_file(args.file, target, offset=args.offset, glob=glob, progress=bar)
        else:
            _to_stdout(box, args, bar, glob=glob)


def _to_stdout(box: Reading, args: Args, bar: Bar, *, glob: bool) -> None:
    out = sys.stdout.buffer
    try:
        box.save_file(args.file, out, offset=args.offset, glob=glob, progress=bar)
        out.flush()
    except OSError as e:
        e.filename = e.filename or "standard output"
        raise


def _copy(app: App, args: Args) -> None:
    box = app.box(Writing)
    source, target = args.source, args.target
    if args.src_project:
        source = f"{args.src_project}/{source}"
    if args.dest_project:
        target = f"{args.dest_project}/{target}"
    box.copy_file(source, target, append=args.append)


def _delete(app: App, args: Args) -> None:
    if not split_file(args.file)[2]:
        raise InvalidArgument("no path named", "write REPO@BRANCH:PATH, :/ for everything")
    app.box(Writing).delete_file(args.file)


def _inspect(app: App, args: Args) -> None:
    info = app.box(Reading).inspect_file(args.file)
    app.output.fields(
        info,
        [
            ("Path", name(info)),
            ("Type", kind(info)),
            ("Size", size(info.size_bytes)),
            ("Committed", app.output.time(info.committed)),
            ("Commit", info.commit),
            ("Hash", info.hash),
        ],
    )


def listed(box: Reading, file: str) -> Iterator[FileInfo]:
    """What ``list file`` lists: a directory's children, a file itself, or with a glob those of

    every match.
    """
    if not is_pattern(box, file):
        yield from box.list_file(file)
        return
    head = file[: len(file) - len(split_file(file)[2])]
    found = False
    for match in list(box.glob_file(file)):
        found = True
        if match.is_dir:
            yield from box.list_file(head + match.path)
        else:
            yield match
    if not found:
        raise NotFound(f"no file matches {split_file(file)[2]}")


def show(app: App, found: Iterable[FileInfo]) -> None:
    """Files as a table or as records."""
    app.output.records(found, HEADER, lambda f: (name(f), kind(f), size(f.size_bytes)))


def _list(app: App, args: Args) -> None:
    box, out = app.box(Reading), app.output
    if args.history is None or args.history == "none":
        show(app, listed(box, args.file))
        return
    depth = -1 if args.history == "all" else _number(args.history)
    out.records(
        box.list_history(args.file, depth=depth),
        ("COMMIT", "NAME", "TYPE", "COMMITTED", "SIZE"),
        lambda f: (f.commit, name(f), kind(f), out.time(f.committed), size(f.size_bytes)),
    )


def _number(text: str) -> int:
    if not text.removeprefix("-").isdecimal():
        raise InvalidArgument(f"--history {text!r} is not understood", "give a number, all or none")
    return int(text)


def _glob(app: App, args: Args) -> None:
    show(app, app.box(Reading).glob_file(args.file))


def _walk(app: App, args: Args) -> None:
    show(app, app.box(Reading).walk_file(args.file))


def _file(parser: Parser) -> None:
    parser.add_argument("file", metavar="REPO@REF:PATH")
    project(parser)


def _getting(parser: Parser) -> None:
    _file(parser)
    flag(parser, "-r", "--recursive", help="a directory with all below it; needs -o")
    parser.add_argument("-o", "--output", metavar="PATH", help="write there (default: stdout)")
    parser.add_argument(
        "--offset", type=whole, default=0, metavar="N", help="leave out the first N bytes"
    )
    flag(parser, "--retry", help="append what is missing from the file given with -o")
    flag(parser, "--no-progress", help="no progress line on a terminal")
    ignored(parser, "--progress")
    ignored(parser, "-p", "--parallelism", value=True)


def _copying(parser: Parser) -> None:
    parser.add_argument("source", metavar="SOURCE", help="REPO@REF:PATH")
    parser.add_argument("target", metavar="TARGET", help="REPO@BRANCH:PATH")
    flag(parser, "-a", "--append", help="add to files that exist instead of replacing them")
    parser.add_argument("--src-project", metavar="NAME", help="the source's project")
    parser.add_argument("--dest-project", metavar="NAME", help="the target's project")
    ignored(parser, "-o", "--overwrite")
    project(parser)


def _deleting(parser: Parser) -> None:
    _file(parser)
    ignored(parser, "-r", "--recursive")


def _shown(parser: Parser) -> None:
    _file(parser)
    records(parser)


def _listing(parser: Parser) -> None:
    _shown(parser)
    parser.add_argument("--history", metavar="N|all|none", help="earlier versions of the path too")


COMMANDS = {
    "get file": Command(
        _getting,
        _get,
        (
            "get file images@master:/a.png -o a.png",
            "get file -r images@master:/ -o copy",
            "get file 'logs@master^:/*.txt' | wc -l",
        ),
        "A path with *, ?, [ ], { } or ( ) is a pattern unless a file has that very name; the\n"
        "files it matches come one after the other.",
    ),
    "copy file": Command(_copying, _copy, ("copy file images@master:/a.png images@exp:/b.png",)),
    "delete file": Command(
        _deleting, _delete, ("delete file images@master:/a.png", "delete file 'images@master:/*'")
    ),
    "inspect file": Command(_shown, _inspect, ("inspect file images@master:/a.png",)),
    "list file": Command(
        _listing,
        _list,
        (
            "list file images@master",
            "list file 'images@master:/2*'",
            "list file images@master:/a.png --history all",
        ),
    ),
    "glob file": Command(_shown, _glob, ("glob file 'images@master:/**.png'",)),
    "walk file": Command(_shown, _walk, ("walk file images@master:/",)),
}
