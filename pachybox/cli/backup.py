"""``extract`` and ``restore``: the whole box as one file, and back."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from io import RawIOBase
from typing import BinaryIO

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, ignored
from pachybox.cli.output import note, size
from pachybox.cli.progress import Bar
from pachybox.client.backup import Backup
from pachybox.errors import CHECK_FILE, InvalidArgument


def _extract(app: App, args: Args) -> None:
    if args.no_objects:
        raise InvalidArgument(
            "an archive without content cannot be restored", "leave --no-objects out"
        )
    _only_one(args)
    box = app.box(Backup)
    if args.url:
        found = box.extract_to(args.url)
        note(f"extracted {size(int(found.get('bytes') or 0))} of content to {args.url}")
        return
    with Bar("extract") as bar:
        if args.file in (None, "-"):
            if sys.stdout.isatty():
                raise InvalidArgument(
                    "an archive is nothing for a terminal", "name a file: pachybox extract box.tar"
                )
            done = box.extract(sys.stdout.buffer, lambda n: bar(n, 1))
            sys.stdout.buffer.flush()
        else:
            done = _to_file(box, args.file, bar)
    note(f"extracted {size(done)}")


def _to_file(box: Backup, path: str, bar: Bar) -> int:
    """Beside ``path`` first: what has the name is whole, and durable."""
    part = f"{path}.part"
    try:
        with open(part, "wb", buffering=0, opener=_private) as file:
            done = box.extract(_All(file), lambda n: bar(n, 1))
            os.fsync(file.fileno())
        os.replace(part, path)  # noqa: PTH105  # pathlib costs 8 ms at start
    except BaseException as e:
        if isinstance(e, OSError) and e.filename == part:
            raise InvalidArgument(f"cannot write {part}: {e.strerror}", CHECK_FILE) from e
        if os.path.exists(part):  # noqa: PTH110
            os.unlink(part)  # noqa: PTH108
        raise
    return done


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class _All:
    """A raw file whose write takes all it is given."""

    def __init__(self, file: RawIOBase) -> None:
        self._file = file

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._file.write(view) :]


def _restore(app: App, args: Args) -> None:
    _only_one(args)
    box = app.box(Backup)
    if args.url:
        found = box.restore_from(args.url)
    else:
        with ExitStack() as stack:
            source: BinaryIO = sys.stdin.buffer
            total = 0
            if args.file not in (None, "-"):
                try:
                    source = stack.enter_context(open(args.file, "rb", buffering=0))
                except OSError as e:
                    raise InvalidArgument(
                        f"cannot read {args.file}: {e.strerror}", CHECK_FILE
                    ) from e
                total = os.fstat(source.fileno()).st_size
            elif sys.stdin.isatty():
                raise InvalidArgument(
                    "no archive is given", "name a file: pachybox restore box.tar"
                )
            bar = stack.enter_context(Bar("restore", total=total))
            found = box.restore(source, lambda n: bar(n, 1))
    records = found.get("records") or {}
    counts = ", ".join(
        f"{records.get(name, 0)} {name}" for name in ("repos", "commits", "pipelines", "jobs")
    )
    note(f"restored {counts}, {size(int(found.get('bytes') or 0))} of content")


def _only_one(args: Args) -> None:
    if args.url and args.file:
        raise InvalidArgument("give a file or --url, not both")


def _where(parser: Parser) -> None:
    parser.add_argument("file", metavar="FILE", nargs="?", help="default: - (a pipe)")
    parser.add_argument(
        "-u", "--url", metavar="URL", help="an object (s3://BUCKET/KEY); the box itself does it"
    )


def _extracting(parser: Parser) -> None:
    _where(parser)
    flag(parser, "--no-objects", help="refused: records without their content are no box")
    ignored(parser, "--no-auth")
    ignored(parser, "--no-enterprise")


def _restoring(parser: Parser) -> None:
    _where(parser)
    ignored(parser, "--no-token")


COMMANDS = {
    "extract": Command(
        _extracting,
        _extract,
        ("extract box.tar", "extract | zstd > box.tar.zst", "extract --url s3://backups/box.tar"),
        "The box goes on working: the file is its state at one moment, with every record and all\n"
        "content, each once. What jobs printed (logs) is not in it.",
    ),
    "restore": Command(
        _restoring,
        _restore,
        ("restore box.tar", "zstd -d < box.tar.zst | pachybox restore"),
        "The box must be empty; it has all of the archive afterwards, or nothing. Jobs that were\n"
        "open are run; nothing that was done is done again.",
    ),
}
