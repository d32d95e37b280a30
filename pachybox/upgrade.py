"""Copies of the metadata from before it was migrated, and putting one back.

    meta.copies/<number>/   the files of the metadata, and about.json
    meta.putback            names a copy that is being put back

Plain files: nothing here opens a database. A copy that has its name is whole.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pachybox.durable import sync_path
from pachybox.errors import NotFound, Refused

log = logging.getLogger("pachybox.upgrade")

KEPT = 2
_COPIES = "meta.copies"
_ABOUT = "about.json"
_MARK = "meta.putback"
_ROOM = 64 << 20  # bytes that must be left beside the copy: a migration writes too
_PIECE = 64 << 20


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy: of which schema, made on the way to schema ``to`` (0: whoever copied did not look),
    when (ISO 8601), up to which event. ``done``: what it was made for is over."""

    path: Path
    schema: int
    to: int
    taken: str
    event: int
    done: bool = False


def copies(home: Path) -> list[Copy]:
    """The copies of the box at ``home``, newest first."""
    found = []
    for path in sorted((home / _COPIES).glob("[0-9]*[0-9]"), reverse=True):
        try:
            about = json.loads((path / _ABOUT).read_text())
            found.append(Copy(path, **about))
        except (OSError, ValueError, TypeError) as e:
            log.warning("%s is no copy: %s", path, e)
    return found


def seen(database: Path) -> int:
    """The number of the newest event, as it is told beside ``database`` (meta/witness.py)."""
    try:
        return int.from_bytes(
            database.with_name(f"{database.name}.seen").read_bytes()[:8], "little"
        )
    except OSError:
        return 0


def take(database: Path, *, event: int, schema: int = 0, to: int = 0) -> Copy:
    """Copy the metadata around ``database``, which nobody has open, and drop all but the last
    ``KEPT`` copies. One that was made of the same state for something that is not over will do: a
    migration was cut short, or an upgrade has copied it. Raises Refused when there is no room."""
    home = database.parent
    for have in copies(home):
        same = have.event == event and have.to in (0, to) and have.schema <= schema
        if same and not have.done:
            return have
    folder = home / _COPIES
    folder.mkdir(mode=0o700, exist_ok=True)
    _give(folder, home)
    for left in folder.glob("*.part"):
        shutil.rmtree(left)
    files = list(_files(database))
    _make_room(home, sum(file.stat().st_size for file in files))
    number = max((int(one.path.name) for one in copies(home)), default=0) + 1
    now = datetime.now(UTC).isoformat(timespec="seconds")
    made = Copy(folder / f"{number:06}", schema, to, now, event)
    part = made.path.with_name(f"{made.path.name}.part")
    try:
        part.mkdir(mode=0o700)
        _give(part, home)
        for file in files:
            _copy(file, part / file.name)
        _write_about(replace(made, path=part))
        sync_path(part)
        part.rename(made.path)
        sync_path(folder)
    except OSError as e:
        shutil.rmtree(part, ignore_errors=True)
        raise Refused(
            f"the metadata cannot be copied to {folder}: {e.strerror or e}",
            "nothing was changed; see that the folder can be written",
        ) from e
    for old in copies(home)[KEPT:]:
        shutil.rmtree(old.path, ignore_errors=True)
    log.info("metadata copied to=%s schema=%d", made.path, schema)
    return made


def finished(copy: Copy) -> None:
    """What ``copy`` was made for is over."""
    try:
        _write_about(replace(copy, done=True))
    except OSError as e:  # it costs a copy more next time
        log.warning("%s: %s", copy.path, e)


def drop(copy: Copy) -> None:
    """Remove a copy that nobody will want: things are as it has them."""
    shutil.rmtree(copy.path, ignore_errors=True)


def put_back(database: Path, copy: Copy) -> None:
    """Have the metadata be what it was when ``copy`` was made. Nobody has it open. What was
    changed since is lost. A kill in between is mended by ``mend``. Raises what that does."""
    home = database.parent
    mark = home / _MARK
    part = mark.with_suffix(".part")
    part.write_text(copy.path.name)
    sync_path(part)
    part.replace(mark)
    sync_path(home)
    mend(database)


def mend(database: Path) -> None:
    """Finish what a ``put_back`` began, if one did. To be called before the metadata is opened.
    Raises NotFound when the copy is gone, Refused when the disk does not take it."""
    home = database.parent
    mark = home / _MARK
    try:
        name = mark.read_text().strip()
    except FileNotFoundError:
        return
    source = home / _COPIES / name
    if not (source / _ABOUT).is_file():
        raise NotFound(
            f"{mark} names a copy of the metadata that is gone: {name}",
            "remove that file to go on with the metadata as it is",
        )
    try:
        _bring(source, database)
        mark.unlink()
        sync_path(home)
    except OSError as e:
        raise Refused(
            f"the metadata cannot be put back from {source}: {e.strerror or e}",
            "free some space on the disk, then start again: it goes on by itself",
        ) from e
    log.info("put back copy=%s", source)


def _bring(source: Path, database: Path) -> None:
    """Have the files be those of a copy, durably; the same when it is done again."""
    home = database.parent
    names = {file.name for file in source.iterdir() if file.name != _ABOUT}
    for file in _files(database):
        if file.name not in names:
            file.unlink()
    for name in sorted(names):
        part = home / f".{name}.part"
        _copy(source / name, part)
        part.replace(home / name)
    sync_path(home)


def _files(database: Path) -> Iterator[Path]:
    """What the metadata consists of: the database, its log, journal, index and witness."""
    for file in sorted(database.parent.glob(f"{database.name}*")):
        if file.is_file() and not file.name.endswith((".tmp", ".part")):
            yield file


def _make_room(home: Path, size: int) -> None:
    """Have room for ``size`` bytes, in the place of older copies where there is no other: what the
    new one is of has done without them. Raises Refused, and removes nothing, when there is none."""
    needed = size + _ROOM
    old = [one for one in reversed(copies(home)) if one.done]
    free, held = _free(home), sum(map(_size, old))
    if free + held < needed:
        raise Refused(
            f"the metadata is copied before it is migrated, and {home} lacks room for that: "
            f"{free} bytes are free, {needed} needed",
            "free some space, then start again; nothing was changed",
        )
    for one in old:
        if _free(home) >= needed:
            return
        log.warning("removed to make room: %s", one.path)
        drop(one)


def _free(home: Path) -> int:
    found = os.statvfs(home)
    return found.f_bavail * found.f_frsize


def _size(copy: Copy) -> int:
    return sum(file.stat().st_size for file in copy.path.iterdir())


def _write_about(copy: Copy) -> None:
    about = {key: value for key, value in asdict(copy).items() if key != "path"}
    part = copy.path / f"{_ABOUT}.part"
    part.write_text(json.dumps(about))
    _give(part, copy.path)
    sync_path(part)
    part.replace(copy.path / _ABOUT)


def _copy(source: Path, to: Path) -> None:
    """Within the kernel where it can, durable."""
    to.unlink(missing_ok=True)
    with open(source, "rb") as reading, open(to, "xb") as writing:
        os.fchmod(writing.fileno(), 0o600)
        if os.geteuid() == 0:  # an upgrade of a service, whose box is another user
            owner = os.fstat(reading.fileno())
            os.fchown(writing.fileno(), owner.st_uid, owner.st_gid)
        while True:
            try:
                if not os.copy_file_range(reading.fileno(), writing.fileno(), _PIECE):
                    break
            except OSError:  # a file system that has none
                shutil.copyfileobj(reading, writing, _PIECE)
                break
        writing.flush()
        os.fsync(writing.fileno())


def _give(path: Path, like: Path) -> None:
    """To the owner of ``like``, when it is root who made it."""
    if os.geteuid() == 0:
        owner = like.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
