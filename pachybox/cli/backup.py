"""``extract`` and ``restore``: the whole box as one file, and back."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, ignored
from pachybox.cli.output import note, size
from pachybox.cli.progress import Bar
from pachybox.client.backup import Backup
from pachybox.errors import CHECK_FILE, InvalidArgument, Refused

_LOOK_S = 0.2


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
    elif args.file not in (None, "-"):
        _to_file(box, args.file)
    elif sys.stdout.isatty():
        raise InvalidArgument(
            "an archive is nothing for a terminal", "name a file: pachybox extract box.tar"
        )
    else:
        with Bar("extract") as bar:
            done = box.extract(sys.stdout.buffer, lambda n: bar(n, 1))
            sys.stdout.buffer.flush()
        note(f"extracted {size(done)}")


def _to_file(box: Backup, path: str) -> None:
    """Beside ``path`` first: what has the name is whole, and durable."""
    if os.path.isdir(path):  # noqa: PTH112  # pathlib costs 8 ms at start
        raise InvalidArgument(f"{path} is a directory, not a file", "name a file in it")
    part = f"{path}.part"
    try:
        fd = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise InvalidArgument(
            f"cannot write {part}: {e.strerror}", "check its name and your right to write it"
        ) from e
    try:
        _take_alone(fd, part)
        _fill(box, fd, part, path)
        done = os.fstat(fd).st_size
    finally:
        os.close(fd)
    note(f"extracted {size(done)} to {path}")


def _fill(box: Backup, fd: int, part: str, path: str) -> None:
    """The archive into ``part``, which is open as ``fd``, and then to its name; else no part of it
    stays."""
    try:
        os.ftruncate(fd, 0)
        with _watched("extract", fd, 0):
            box.extract_file(fd)
        os.fsync(fd)
        os.replace(part, path)  # noqa: PTH105  # pathlib costs 8 ms at start
    except BaseException:  # Ctrl-C too
        os.unlink(part)  # noqa: PTH108
        raise


def _take_alone(fd: int, part: str) -> None:
    """Raise Refused when another extract writes to the same file, or has just named it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        same = os.stat(part).st_ino == os.fstat(fd).st_ino  # noqa: PTH116
    except (BlockingIOError, FileNotFoundError):
        same = False
    if not same:
        raise Refused(f"another extract writes {part}", "wait for its end, or name another file")


@contextmanager
def _watched(what: str, fd: int, total: int) -> Iterator[None]:
    """Shows how far the position of ``fd`` is, which the box moves."""
    end = threading.Event()

    def look() -> None:
        while not end.wait(_LOOK_S):
            bar(os.lseek(fd, 0, os.SEEK_CUR), 1)

    with Bar(what, total=total) as bar:
        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()


def _restore(app: App, args: Args) -> None:
    _only_one(args)
    box = app.box(Backup)
    if args.url:
        found = box.restore_from(args.url)
    else:
        fd = _source(args.file)
        about = os.fstat(fd)
        if stat.S_ISREG(about.st_mode):
            with _watched("restore", fd, about.st_size):
                found = box.restore_file(fd)
        else:
            with open(fd, "rb", buffering=0, closefd=False) as pipe, Bar("restore") as bar:
                found = box.restore(pipe, lambda n: bar(n, 1))
    records = found.get("records") or {}
    counts = ", ".join(
        f"{records.get(name, 0)} {name}" for name in ("repos", "commits", "pipelines", "jobs")
    )
    note(f"restored {counts}, {size(int(found.get('bytes') or 0))} of content")


def _source(path: str | None) -> int:
    if path in (None, "-"):
        if sys.stdin.isatty():
            raise InvalidArgument("no archive is given", "name a file: pachybox restore box.tar")
        return sys.stdin.fileno()
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as e:
        raise InvalidArgument(f"cannot read {path}: {e.strerror}", CHECK_FILE) from e
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        os.close(fd)
        raise InvalidArgument(f"{path} is a directory, not a file", "name a file in it")
    return fd


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
