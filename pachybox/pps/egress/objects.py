"""Egress of files: to buckets, and to directories of this machine.

Every file of the commit is written under the target; what lies there otherwise stays. A file
appears at once or not at all.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from pachybox.errors import InvalidArgument, NotReady, PachyboxError, Refused
from pachybox.model.files import Entry
from pachybox.pfs import buckets
from pachybox.pps.egress.output import Output, Stopped, side_by_side
from pachybox.pps.egress.target import Bucket, Folder

Mark = Callable[[str, int], None]

TIMEOUT_S = 60.0  # of each wait for the other side

# memory at most: _WIDTH * _WHOLE and _LONG * (_PARTS + 1) * a part
_WIDTH = 8
_WHOLE = 4 << 20  # sent in one request
_LONG = 2
_PARTS = 2
_PART = 8 << 20
_MOST_PARTS = 10_000  # S3's limit


def to_bucket(output: Output, target: Bucket, after: str, mark: Mark) -> None:
    """Write every file that comes behind ``after`` to the bucket.

    Credentials are those of the box. Raises NotReady, NotFound (no such bucket), Refused, and
    Stopped.
    """
    import obstore

    store = buckets.store(target.scheme, target.name, None, TIMEOUT_S)
    long = threading.Semaphore(_LONG)
    prefix = f"{target.prefix}/" if target.prefix else ""

    def push(path: str, entry: Entry) -> None:
        output.check()
        key = prefix + path[1:]
        try:
            if entry.size <= _WHOLE:
                body = b"".join(output.content(entry))
                obstore.put(store, key, body, use_multipart=False)
                return
            with long:
                obstore.put(
                    store,
                    key,
                    output.content(entry),
                    chunk_size=max(_PART, -(-entry.size // (_MOST_PARTS - 1))),
                    max_concurrency=_PARTS,
                )
        except (PachyboxError, Stopped):
            raise
        except Exception as e:
            output.check()  # obstore wraps what the content raises
            url = f"{target.scheme}://{target.name}/{key}"
            raise buckets.told(url, e, "written") from e

    side_by_side(output.files(after=after), push, _WIDTH, mark)


def to_folder(output: Output, target: Folder, after: str, mark: Mark) -> None:
    """Write every file that comes behind ``after`` below a directory, which is made if need be.

    Raises Refused for the box's own directory and where the box may not write, NotReady on
    other trouble, and Stopped.
    """
    top = Path(target.path)
    refuse_home(output, top, str(target))

    def push(path: str, entry: Entry) -> None:
        output.check()
        where = top / path[1:]
        # user code may have put a link there that leads to where it cannot write itself
        refuse_home(output, where.parent, f"{target}{path}")
        try:
            _write(output, where, entry)
        except OSError as e:
            raise _told(f"{target}{path}", e) from e

    side_by_side(output.files(after=after), push, _WIDTH, mark)


def refuse_home(output: Output, path: Path, shown: str) -> None:
    """Raise Refused when ``path`` is in the box's own directory, or around it."""
    real, home = path.resolve(), output.home.resolve()
    if real.is_relative_to(home) or home.is_relative_to(real):
        raise Refused(f"egress to {shown} could write into the box's own directory", "name another")


def _write(output: Output, path: Path, entry: Entry) -> None:
    """One file, durable when it appears. What a crash leaves is written over next time."""
    _make_parents(path.parent)
    name = hashlib.sha256(path.name.encode()).hexdigest()[:16]
    beside = path.with_name(f".pachybox-{name}.part")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        with os.fdopen(fd, "wb") as file:
            for piece in output.content(entry):
                file.write(piece)
            file.flush()
            os.fchmod(file.fileno(), 0o644)  # for others to read; the daemon's umask says no
            os.fdatasync(file.fileno())
        beside.rename(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _make_parents(folder: Path) -> None:
    if not folder.is_dir():
        _make_parents(folder.parent)
        try:
            folder.mkdir()
        except FileExistsError:
            if not folder.is_dir():
                raise
        else:
            folder.chmod(0o755)


def _told(where: str, e: OSError) -> PachyboxError:
    why = e.strerror or str(e)
    if isinstance(e, PermissionError):
        return Refused(f"{where} may not be written: {why}", "give the box's user the right to")
    if isinstance(e, IsADirectoryError | NotADirectoryError | FileExistsError):
        return InvalidArgument(
            f"{where} cannot be written: {why}", "remove what is in the way, then rerun pipeline"
        )
    return NotReady(f"{where} cannot be written: {why}", "mend it, then rerun pipeline")
