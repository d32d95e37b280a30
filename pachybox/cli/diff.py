"""``diff file``: what changed, as a list or as text through git diff, diff or difflib."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, project, records
from pachybox.cli.file import kind, name
from pachybox.cli.output import Painted, size
from pachybox.client.files import Reading
from pachybox.client.names import split_file
from pachybox.client.values import FileChange, FileInfo, commit_name
from pachybox.errors import Internal, Refused


class Row(NamedTuple):
    """One line of the list."""

    op: str
    info: FileInfo


def rows(changes: Iterable[FileChange]) -> Iterator[Row]:
    """``+`` added, ``-`` removed; a changed file is both."""
    for change in changes:
        if change.old:
            yield Row("-", change.old)
        if change.new:
            yield Row("+", change.new)


def _names(app: App, changes: Iterable[FileChange]) -> None:
    colours = {"+": "green", "-": "red"}
    app.output.table(
        (
            (Painted.of(op, colours[op]), name(info), kind(info), size(info.size_bytes))
            for op, info in rows(changes)
        ),
        ("OP", "NAME", "TYPE", "SIZE"),
    )


def _copy(box: Reading, folder: str, info: FileInfo | None) -> None:
    """The content of a changed file below ``folder``."""
    if info is None or info.is_dir:
        return
    if ".." in info.path.split("/"):
        raise Internal(f"the box sent the path {info.path!r}")
    target = os.path.join(folder, info.path.lstrip("/"))  # noqa: PTH118
    os.makedirs(os.path.dirname(target), exist_ok=True)  # noqa: PTH103, PTH120
    where = commit_name((info.raw.get("file") or {}).get("commit"))
    box.save_file(f"{where}:{info.path}", target)


def _text(app: App, args: Args, box: Reading, changes: Iterable[FileChange]) -> int:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="pachybox-diff-") as folder:
        for side in ("old", "new"):
            os.mkdir(os.path.join(folder, side))  # noqa: PTH102, PTH118
        for change in changes:
            _copy(box, os.path.join(folder, "old"), change.old)  # noqa: PTH118
            _copy(box, os.path.join(folder, "new"), change.new)  # noqa: PTH118
        sys.stdout.flush()
        command = _command(app, args)
        if command is None:
            sys.stdout.writelines(_builtin(folder))
            return 0
        status = subprocess.run([*command, "old", "new"], cwd=folder, check=False).returncode
    if status not in (0, 1):  # 1: there are differences
        raise Refused(f"{command[0]} ended with exit status {status}")
    return 0


def _command(app: App, args: Args) -> list[str] | None:
    """The program that compares two directories; None when this machine has none."""
    if args.diff_command:
        import shlex

        return shlex.split(args.diff_command)
    colour = sys.stdout.isatty() and not args.no_color and not os.environ.get("NO_COLOR")
    if shutil.which("git"):
        pager = [] if sys.stdout.isatty() and not args.no_pager else ["--no-pager"]
        when = "--color=always" if colour else "--color=never"
        return ["git", *pager, "diff", "--no-index", when]
    return ["diff", "-urN"] if shutil.which("diff") else None


def _builtin(folder: str) -> Iterator[str]:
    import difflib

    found = {
        os.path.relpath(os.path.join(where, file), os.path.join(folder, side))  # noqa: PTH118
        for side in ("old", "new")
        for where, _folders, files in os.walk(os.path.join(folder, side))  # noqa: PTH118
        for file in files
    }
    for path in sorted(found):
        texts: list[list[str]] = []
        for side in ("old", "new"):
            try:
                with open(os.path.join(folder, side, path), encoding="utf-8") as file:  # noqa: PTH118
                    texts.append(file.read().splitlines(keepends=True))
            except FileNotFoundError:
                texts.append([])
            except UnicodeDecodeError:
                texts.append(["(binary)\n"])
        for line in difflib.unified_diff(texts[0], texts[1], f"old/{path}", f"new/{path}"):
            yield line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"


def _run(app: App, args: Args) -> int:
    box = app.box(Reading)
    new, old = args.new, args.old
    if old and args.old_project:
        old = f"{args.old_project}/{old}"
    for file in (new, old):
        if file:
            split_file(file)
    changes = iter(box.diff_file(new, old, shallow=args.shallow))
    first = next(changes, None)
    if first is not None:
        changes = chain([first], changes)
    elif split_file(new)[2].strip("/"):
        box.inspect_file(new)  # a wrong name is no empty difference
    if app.output.form:
        for change in changes:
            app.output.raw(change.raw)
    elif args.name_only:
        _names(app, changes)
    else:
        return _text(app, args, box, changes)
    return 0


def _arguments(parser: Parser) -> None:
    parser.add_argument("new", metavar="NEW", help="REPO@REF:PATH")
    parser.add_argument("old", metavar="OLD", nargs="?", help="default: NEW in the commit before")
    flag(parser, "-s", "--shallow", help="directories as a whole, not what is in them")
    flag(parser, "--name-only", help="list what changed, not the text")
    parser.add_argument("--diff-command", metavar="CMD", help="run CMD on two directories")
    flag(parser, "--no-pager", help="print, do not page")
    parser.add_argument("--old-project", metavar="NAME", help="OLD's project")
    project(parser)
    records(parser)


COMMANDS = {
    "diff file": Command(
        _arguments,
        _run,
        (
            "diff file notes@master:/",
            "diff file notes@master:/a notes@exp:/a",
            "diff file images@master:/ --name-only",
        ),
    )
}
