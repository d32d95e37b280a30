"""``put file``: which sources go to which paths, and the one commit they make."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from pachybox.cli.app import App
from pachybox.cli.command import Args, Command, Parser, flag, ignored, many, project, whole
from pachybox.cli.progress import Bar
from pachybox.client.files import Writing
from pachybox.client.names import absolute, split_file
from pachybox.client.upload import Put, walk
from pachybox.errors import CHECK_FILE, InvalidArgument

_SCHEMES = ("http", "https", "s3", "gs", "gcs", "as", "azblob", "wasb", "minio", "file")
_STREAMS = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")  # what a shell's <(...) names


def is_url(source: str) -> bool:
    """Whether the box is to fetch ``source``."""
    scheme, found, _rest = source.partition("://")
    return bool(found) and scheme.lower() in _SCHEMES


def destination(path: str, source: str, *, alone: bool, full_path: bool = False) -> str:
    """The path in the repo for ``source``, from the path given after ``REPO@BRANCH:``.

    One source and a path: the path itself, or with a ``/`` at its end a directory to put the
    source in. Otherwise the path (or the root) and the source's own name, or with ``full_path``
    its whole path without leading ``../``.
    """
    if alone and path and not path.endswith("/"):
        return absolute(path)
    if source == "-":
        raise InvalidArgument("stdin has no name", "write REPO@BRANCH:PATH")
    if is_url(source):
        inside = source.partition("://")[2].partition("?")[0].partition("/")[2].rstrip("/")
        name = inside if full_path else inside.rpartition("/")[2]
    else:
        clean = os.path.normpath(source)
        parts = [p for p in clean.split("/") if p not in ("", ".", "..")]
        name = "/".join(parts) if full_path else "/".join(parts[-1:])
    return absolute(f"{path}/{name}")


def sources(args: Args) -> list[str]:
    """What -f and -i name; stdin when they name nothing."""
    found = list(args.file)
    for listing in args.input_file:
        for number, line in enumerate(_lines(listing), 1):
            if "\0" in line:
                raise InvalidArgument(f"{listing}:{number}: a NUL", "write one file or URL a line")
            if line:
                found.append(line)
    return found or ([] if args.input_file else ["-"])


def _lines(listing: str) -> Iterable[str]:
    if listing == "-":
        return sys.stdin.buffer.read().decode(errors="surrogateescape").splitlines()
    if is_url(listing) and not listing.startswith("file:"):
        from pachybox.cli.fetch import fetch

        return fetch(listing).splitlines()
    try:
        with open(listing, encoding="utf-8") as file:
            return file.read().splitlines()
    except OSError as e:
        raise InvalidArgument(f"cannot read {listing}: {e.strerror}", CHECK_FILE) from e
    except UnicodeDecodeError as e:
        raise InvalidArgument(f"{listing} is not UTF-8 text", "write one file or URL a line") from e


def _split_how(args: Args) -> dict[str, object] | None:
    targets = {
        "target_file_datums": args.target_file_datums,
        "target_file_bytes": args.target_file_bytes,
        "header_records": args.header_records,
    }
    given = {key: value for key, value in targets.items() if value}
    if not args.split:
        if given:
            name = "--" + next(iter(given)).replace("_", "-")
            raise InvalidArgument(f"{name} needs --split", "add --split line, json, csv or sql")
        return None
    return {"split": args.split, **given, "append": args.append}


@contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(source, "rb", buffering=0)  # noqa: SIM115  # closed below
    except OSError as e:
        raise InvalidArgument(f"cannot read {source}: {e.strerror}", CHECK_FILE) from e
    with file:
        yield file


def _streamed(source: str) -> bool:
    """Whether ``source`` is read to its end rather than opened as a file."""
    if source == "-":
        return True
    try:
        pipe = stat.S_ISFIFO(os.stat(source).st_mode)  # noqa: PTH116
    except OSError:
        return False
    return source == "/dev/stdin" or (pipe and source.startswith(_STREAMS))


class _Sender:
    """Puts one source after the other, refusing two for one path."""

    def __init__(self, put: Put, args: Args) -> None:
        self._put = put
        self._args = args
        self._how = _split_how(args)
        self._seen: set[str] = set()

    def send(self, source: str, path: str) -> None:
        """One source to ``path``."""
        args = self._args
        if is_url(source):
            if self._how:
                raise InvalidArgument(f"{source}: a URL cannot be split", "download it first")
            self._claim(path)
            self._put.url(path, source, recursive=args.recursive, append=args.append)
        elif args.untar:
            self._untar(source, path)
        elif args.recursive and os.path.isdir(source):  # noqa: PTH112
            self._directory(source, path)
        else:
            self._file(source, path)

    def _directory(self, source: str, path: str) -> None:
        if self._how:
            for relative, name in walk(source):
                self._file(name, f"{path.rstrip('/')}/{relative}")
        else:
            self._claim(path)
            self._put.directory(path, source, append=self._args.append)

    def _file(self, source: str, path: str) -> None:
        self._claim(path)
        if self._how:
            with _opened(source) as stream:
                self._put.split(path, stream, self._how)
        elif _streamed(source):
            with _opened(source) as stream:
                self._put.stream(path, stream, append=self._args.append)
        else:
            self._put.file(path, source, append=self._args.append)

    def _untar(self, source: str, path: str) -> None:
        import tarfile

        try:
            with (
                _opened(source) as stream,
                tarfile.open(fileobj=stream, mode="r|*") as archive,
            ):
                for member in archive:
                    if member.isdir():
                        continue
                    content = archive.extractfile(member) if member.isfile() else None
                    if content is None:
                        raise InvalidArgument(
                            f"{source}: {member.name} is not a file", "put files and directories"
                        )
                    where = absolute(f"{path}/{member.name}")
                    self._claim(where)
                    self._put.stream(where, content, append=self._args.append)
        except tarfile.TarError as e:
            raise InvalidArgument(f"{source} is not a tar archive: {e}") from e

    def _claim(self, path: str) -> None:
        if path in self._seen and path != "/":
            raise InvalidArgument(
                f"multiple files put with the path {path}", "put them to different paths"
            )
        self._seen.add(path)


def _total(found: list[str]) -> int:
    """Bytes to come when every source is one file: what a share can be told of."""
    try:
        stats = [os.stat(source) for source in found]  # noqa: PTH116
    except OSError:
        return 0
    return sum(s.st_size for s in stats) if all(stat.S_ISREG(s.st_mode) for s in stats) else 0


def _target(args: Args, path: str, source: str, alone: bool) -> str:
    if args.untar:
        return absolute(path)
    folder = args.recursive and (is_url(source) or os.path.isdir(source))  # noqa: PTH112
    if folder and alone and path:
        return absolute(path)
    return destination(path, source, alone=alone, full_path=args.full_path)


def _run(app: App, args: Args) -> None:
    found = sources(args)
    if not found:
        raise InvalidArgument("nothing to put", "the list given with -i is empty")
    _split_how(args)
    path = split_file(args.target)[2]
    alone = len(found) == 1
    targets = [_target(args, path, source, alone) for source in found]
    total = 0 if args.recursive or args.untar else _total(found)
    with (
        Bar("put", total=total, enabled=not args.no_progress) as bar,
        app.box(Writing).put(args.target, progress=bar, description=args.message or "") as put,
    ):
        sender = _Sender(put, args)
        for source, where in zip(found, targets, strict=True):
            sender.send(source, where)


def _arguments(parser: Parser) -> None:
    parser.add_argument("target", metavar="REPO@BRANCH[:PATH]")
    many(parser, "-f", "--file", metavar="SOURCE", help="a file, a URL, or - for stdin (default)")
    many(parser, "-i", "--input-file", metavar="LIST", help="a file or URL naming a source a line")
    flag(parser, "-r", "--recursive", help="everything below a directory, or below a URL's prefix")
    flag(parser, "-a", "--append", help="add to files that exist instead of replacing them")
    flag(
        parser, "--full-path", help="without PATH: keep the source's whole path, not its last name"
    )
    flag(parser, "--untar", help="the sources are tar archives: put what is in them")
    parser.add_argument("-m", "--message", metavar="TEXT", help="the commit's description")
    parser.add_argument(
        "--split", choices=("line", "json", "csv", "sql"), help="a file per record, in a directory"
    )
    parser.add_argument("--target-file-datums", type=whole, metavar="N", help="records per file")
    parser.add_argument("--target-file-bytes", type=whole, metavar="N", help="bytes per file")
    parser.add_argument(
        "--header-records", type=whole, metavar="N", help="the first N records go before every file"
    )
    flag(parser, "--no-progress", help="no progress line on a terminal")
    project(parser)
    ignored(parser, "-o", "--overwrite")
    ignored(parser, "-c", "--compress")
    ignored(parser, "--commit")
    ignored(parser, "--progress")
    ignored(parser, "-p", "--parallelism", value=True)


COMMANDS = {
    "put file": Command(
        _arguments,
        _run,
        (
            "put file images@master:/a.png -f a.png",
            "put file -r images@master:/ -f photos/",
            "echo hello | pachybox put file notes@master:/hello",
            "put file logs@master:/days -f days.csv --split csv --header-records 1",
        ),
        "All sources of one call become one atomic commit, or go into the branch's open commit.\n"
        "Symbolic links to files are followed; other links and special files are errors.",
    )
}
